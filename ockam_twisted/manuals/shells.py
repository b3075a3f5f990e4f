"""
Completions for bash, zsh and fish.  They are written once, and know all
without starting Python at each key.

bash and fish also complete what C{twist} and C{twistd} are given behind the
name of one of our plugins; for zsh Twisted has a completion of its own, which
asks the options themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ockam_twisted.manuals.outline import FILE, FOLDER, WORDS, Command, Option

_MADE = "# Written by `ockam-twisted completion {shell}`.\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _names(option: Option) -> list[str]:
    return ([f"-{option.short}"] if option.short else []) + [f"--{option.name}"]


# ------------------------------------------------------------------- bash --


def _bashCase(command: Command) -> Iterator[str]:
    """
    What may follow the words of one command.
    """
    words = " ".join(task.word for task in command.tasks)
    options = " ".join(name for each in command.options for name in _names(each))
    arguments = "file" if command.takesFile else ""
    yield f"        {_quoted(command.name)})"
    yield f"            words={_quoted(words)} options={_quoted(options)} files={_quoted(arguments)}"
    yield "            case $previous in"
    for option in command.options:
        if option.argument:
            kind = {FILE: "file", FOLDER: "folder"}.get(option.kind, "words")
            values = _quoted(" ".join(option.words) if option.kind == WORDS else "")
            yield f"                {'|'.join(_names(option))}) kind={kind} values={values} ;;"
    yield "            esac ;;"


def bash(plugins: tuple[Command, ...], program: Command) -> str:
    """
    The completion for bash.
    """
    everything = [*plugins, *program.everyTask()]
    cases = "\n".join(line for each in everything for line in _bashCase(each))
    tasks = " ".join(_quoted(each.name) for each in program.everyTask()[1:])
    names = " ".join(each.name for each in plugins)
    return (
        _MADE.format(shell="bash")
        + f"""\
_ockam_twisted() {{
    local current previous command words options files kind values word index=1 rest
    COMPREPLY=()
    # --name=value is three words, or in newer ones of bash-completion's, one.
    current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = && $COMP_CWORD -ge 2 ]]; then
        previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    command=${{COMP_WORDS[0]##*/}}
    if [[ $command != ockam-twisted ]]; then
        # twist and twistd: what follows the name of a plugin of ours.
        command=
        for ((; index < COMP_CWORD; index++)); do
            case " {names} " in *" ${{COMP_WORDS[index]}} "*) command=${{COMP_WORDS[index]}}; break ;; esac
        done
        if [[ -z $command ]]; then
            [[ $current == -* ]] || COMPREPLY=($(compgen -W '{names}' -- "$current"))
            return
        fi
    else
        for ((; index < COMP_CWORD; index++)); do
            word="$command ${{COMP_WORDS[index]}}"
            for rest in {tasks}; do
                [[ $rest == "$word" ]] && command=$word && break
            done
        done
    fi
    case $command in
{cases}
    esac
    if [[ -n $kind ]]; then
        case $kind in
            folder) compopt -o filenames; COMPREPLY=($(compgen -d -- "$current")) ;;
            file)
                compopt -o filenames
                if [[ $current == @* ]]; then
                    COMPREPLY=($(compgen -P @ -f -- "${{current#@}}"))
                else
                    COMPREPLY=($(compgen -f -- "$current"))
                fi ;;
            *) COMPREPLY=($(compgen -W "$values" -- "$current")) ;;
        esac
    elif [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ -n $files ]]; then
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}}
complete -o bashdefault -F _ockam_twisted ockam-twisted
complete -o bashdefault -o default -F _ockam_twisted twist twistd
"""
    )


# -------------------------------------------------------------------- zsh --


def _zshText(text: str) -> str:
    for each in "\\[]:":
        text = text.replace(each, "\\" + each)
    return text


def _zshAction(option: Option) -> str:
    if option.kind == FILE:
        return "_files"
    if option.kind == FOLDER:
        return "_files -/"
    if option.kind == WORDS:
        return f"({' '.join(option.words)})"
    return " "


def _zshOption(option: Option) -> str:
    names = _names(option)
    text = f"[{_zshText(option.text)}]"
    value = f":{_zshText(option.argument)}:{_zshAction(option)}" if option.argument else ""
    if option.repeatable:
        return _quoted(f"*{names[-1]}{'=' if value else ''}{text}{value}")
    if len(names) == 1:
        return _quoted(f"{names[0]}{'=' if value else ''}{text}{value}")
    both = ",".join((names[0] + ("+" if value else ""), names[1] + ("=" if value else "")))
    return f"'({' '.join(names)})'{{{both}}}{_quoted(text + value)}"


def _zshFunctions(command: Command) -> Iterator[str]:
    name = "_" + command.page.replace("-", "_")
    options = " \\\n        ".join(_zshOption(each) for each in command.options)
    yield f"{name}() {{"
    if command.tasks:
        tasks = "\n".join(f"        {_quoted(f'{each.word}:{_zshText(each.summary)}')}" for each in command.tasks)
        cases = "\n".join(f"                {each.word}) _{each.page.replace('-', '_')} ;;" for each in command.tasks)
        yield f"""\
    local curcontext="$curcontext" state line
    local -a tasks
    tasks=(
{tasks}
    )
    _arguments -C \\
        {options} \\
        '1: :->task' \\
        '*:: :->rest'
    case $state in
        task) _describe -t tasks 'task' tasks ;;
        rest)
            case $line[1] in
{cases}
            esac ;;
    esac"""
    else:
        last = " \\\n        '*:FILE:_files'" if command.takesFile else ""
        yield f"    _arguments \\\n        {options}{last}"
    yield "}"
    for task in command.tasks:
        yield from _zshFunctions(task)


def zsh(plugins: tuple[Command, ...], program: Command) -> str:
    """
    The completion for zsh.
    """
    body = "\n".join(_zshFunctions(program))
    return f"#compdef ockam-twisted\n{_MADE.format(shell='zsh')}{body}\n" + (
        'if [ "$funcstack[1]" = _ockam-twisted ]; then\n    _ockam_twisted "$@"\n'
        "else\n    compdef _ockam_twisted ockam-twisted\nfi\n"
    )


# ------------------------------------------------------------------- fish --


def _fishQuoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fishOption(programs: str, condition: str, option: Option) -> str:
    words = [f"complete {programs} -n {_fishQuoted(condition)} -l {option.name}"]
    if option.short:
        words.append(f"-s {option.short}")
    if option.argument:
        words.append("-r")
        if option.kind == FILE:
            words.append("-F")
        elif option.kind == FOLDER:
            words.append("-f -a '(__fish_complete_directories)'")
        else:
            words.append("-f")
            if option.kind == WORDS:
                words.append(f"-a {_fishQuoted(' '.join(option.words))}")
    words.append(f"-d {_fishQuoted(option.text)}")
    return " ".join(words)


def _fishLines(command: Command) -> Iterator[str]:
    condition = f"__ockam_twisted_at {_fishQuoted(command.name)}"
    programs = "-c ockam-twisted"
    for task in command.tasks:
        yield f"complete {programs} -n {_fishQuoted(condition)} -a {task.word} -d {_fishQuoted(task.summary)}"
    if command.takesFile:
        yield f"complete {programs} -n {_fishQuoted(condition)} -F"
    for option in command.options:
        yield _fishOption(programs, condition, option)
    for task in command.tasks:
        yield from _fishLines(task)


def fish(plugins: tuple[Command, ...], program: Command) -> str:
    """
    The completion for fish.
    """
    tasks = " ".join(_fishQuoted(each.name) for each in program.everyTask())
    names = " ".join(each.name for each in plugins)
    lines = [
        _MADE.format(shell="fish").rstrip(),
        f"""\
function __ockam_twisted_at --description 'Is this the task that was typed?'
    set -l command ockam-twisted
    for word in (commandline -opc)[2..]
        if contains -- "$command $word" {tasks}
            set command "$command $word"
        end
    end
    test "$command" = "$argv[1]"
end
function __ockam_twisted_plugin --description 'Is this the plugin that was typed?'
    for word in (commandline -opc)[2..]
        if contains -- $word {names}
            test "$word" = "$argv[1]"
            return
        end
    end
    test -z "$argv[1]"
end
complete -c ockam-twisted -f""",
        *_fishLines(program),
    ]
    for each in plugins:
        start = "complete -c twist -c twistd -n \"__ockam_twisted_plugin ''\" -f"
        lines.append(f"{start} -a {each.name} -d {_fishQuoted(each.summary)}")
        condition = f"__ockam_twisted_plugin {each.name}"
        lines += [_fishOption("-c twist -c twistd", condition, option) for option in each.options]
    return "\n".join(lines) + "\n"


#: Name of a shell to what writes its completion.
SHELLS: dict[str, Callable[[tuple[Command, ...], Command], str]] = {"bash": bash, "zsh": zsh, "fish": fish}

#: Where a package puts each, below C{share}.
PLACES = {
    "bash": "bash-completion/completions/ockam-twisted",
    "zsh": "zsh/site-functions/_ockam-twisted",
    "fish": "fish/vendor_completions.d/ockam-twisted.fish",
}


def completion(shell: str, plugins: tuple[Command, ...], program: Command) -> str:
    """
    The completion for a shell, by its name.
    """
    return SHELLS[shell](plugins, program)
