Bulk transfer between near nodes takes less CPU time: windows are at least what a stream takes in 5 ms.
