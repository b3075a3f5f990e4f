Manual pages for every command, and completions for bash, zsh and fish, which ``ockam-twisted completion`` prints, too; both
are written from the options.
