"""queuectl completion: scripts that complete command lines, written from the parser's own tables.

Each script knows for every command its words, its options and what those take; it asks `queuectl` only for the names of queues and
tasks, and gives that a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from queued.cli import exits
from queued.cli.options import Subparsers, add_command
from queued.cli.output import say

#: What stands for a name that the database knows, by the placeholder in the usage, and who is asked for them.
LIVE = {"NAME": ("queues", "list"), "KEY": ("recurring", "list")}
TAB = "\t"
#: Options whose value is a file or a directory.
PATHS = {"--config", "--directory", "--recurring"}


@dataclass(frozen=True, slots=True)
class Complete:
    """What may follow the words of one command: further words, options, values of options by name, and names to ask for."""

    path: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    #: Options that take a value, with its choices; none where anything goes.
    values: tuple[tuple[str, tuple[str, ...]], ...]
    live: tuple[str, ...] = ()
    query: bool = False


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    verb = add_command(commands, "completion", completion, "print a script that completes command lines", [common])
    verb.add_argument("shell", metavar="SHELL", choices=tuple(SHELLS), help=f"for which shell: {', '.join(SHELLS)}")


def completion(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from queued.cli.main import queuectl_parser

    say(SHELLS[arguments.shell](list(completes(queuectl_parser()))))
    return exits.OK


def completes(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Complete]:
    """What can be completed at each place of the program."""
    words: list[tuple[str, str]] = []
    options: list[tuple[str, str]] = []
    values: list[tuple[str, tuple[str, ...]]] = []
    live: tuple[str, ...] = ()
    query = False
    below: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            words += [(name, helps.get(name, "")) for name in action.choices]
            below += action.choices.items()
        elif action.option_strings:
            options += [(name, action.help or "") for name in action.option_strings]
            if action.nargs != 0 and action.nargs != "?":
                values += [(name, tuple(map(str, action.choices or ()))) for name in action.option_strings]
        else:
            words += [(str(choice), "") for choice in action.choices or ()]
            live = LIVE.get(str(action.metavar), live)
            query = query or "QUERY" in str(action.metavar)
    yield Complete(path, tuple(words), tuple(options), tuple(values), live, query)
    for name, inner in below:
        yield from completes(inner, (*path, name))


def fields() -> list[str]:
    """The beginnings of a query's terms; states are few enough to be whole."""
    from queued.domain.jobs import STATES
    from queued.domain.query import FIELDS, SORTS

    names = [f"{name}:" for name in FIELDS if name not in {"state", "args"}]
    return [*(f"state:{state}" for state in STATES), *names, "args.", *(f"sort:{order}" for order in SORTS)]


def bash(known: Sequence[Complete]) -> str:
    """For bash; colons are letters of a word here, as in a query."""
    cases = "\n".join(
        f"    {_quoted(' '.join(one.path))})\n"
        f"      words={_quoted(' '.join(name for name, _ in _all(one)))}\n"
        f"      valued={_quoted(' '.join(name for name, _ in one.values))}\n"
        f"      live={_quoted(' '.join(one.live))} ;;"
        for one in known
    )
    choices = "\n".join(f"    {_quoted(key)}) words={_quoted(' '.join(values))} ;;" for key, values in _choices(known))
    return f"""# Completes command lines of queuectl. In ~/.bashrc: source <(queuectl completion bash)
_queuectl() {{
  local line="${{COMP_LINE:0:COMP_POINT}}" words valued live path="" previous="" word
  local -a parts
  read -ra parts <<<"$line"
  local current=""
  if [[ "$line" != *[[:space:]] ]]; then
    current="${{parts[-1]}}"
    unset 'parts[-1]'
  fi
  _queuectl_table ""
  for word in "${{parts[@]:1}}"; do
    if [[ -n "$previous" ]]; then previous=""; continue; fi
    if [[ "$word" == -* ]]; then
      [[ " $valued " == *" $word "* ]] && previous="$word"
      continue
    fi
    if [[ " $words " == *" $word "* ]] && _queuectl_table "${{path:+$path }}$word"; then
      path="${{path:+$path }}$word"
    else
      _queuectl_table "$path"
    fi
  done
  COMPREPLY=()
  if [[ -n "$previous" ]]; then
    case " {" ".join(sorted(PATHS))} " in *" $previous "*) COMPREPLY=($(compgen -f -- "$current")); return ;; esac
    words=""
    case "$path $previous" in
{choices}
    esac
  elif [[ -n "$live" && "$current" != -* ]]; then
    words="$words $(timeout 1 queuectl $live -o name 2>/dev/null)"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  # bash splits a word at its colons; what stands before the last one must not be repeated.
  if [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    local before="${{current%"${{current##*:}}"}}" index
    for index in "${{!COMPREPLY[@]}}"; do COMPREPLY[index]="${{COMPREPLY[index]#"$before"}}"; done
  fi
  [[ "${{#COMPREPLY[@]}}" == 1 && "${{COMPREPLY[0]}}" == *[:.] ]] && compopt -o nospace 2>/dev/null
  return 0
}}
_queuectl_table() {{
  case "$1" in
{cases}
    *) return 1 ;;
  esac
}}
complete -F _queuectl queuectl"""


def zsh(known: Sequence[Complete]) -> str:
    """For zsh, with what each word means."""
    cases = "\n".join(
        f"    {_quoted(' '.join(one.path))})\n"
        f"      words_=({' '.join(_quoted(_described(name, text, ':')) for name, text in _all(one))})\n"
        f"      valued=({' '.join(name for name, _ in one.values)})\n"
        f"      live=({' '.join(one.live)}) ;;"
        for one in known
    )
    choices = "\n".join(f"      {_quoted(key)}) compadd -- {' '.join(values)} ;;" for key, values in _choices(known))
    return f"""#compdef queuectl
# Completes command lines of queuectl. In ~/.zshrc, behind compinit: source <(queuectl completion zsh)
_queuectl() {{
  local -a words_ valued live names
  local place="" previous="" word
  _queuectl_table ""
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    if [[ -n "$previous" ]]; then previous=""; continue; fi
    if [[ "$word" == -* ]]; then
      (( ${{valued[(Ie)$word]}} )) && previous="$word"
      continue
    fi
    if _queuectl_table "${{place:+$place }}$word"; then place="${{place:+$place }}$word"; else _queuectl_table "$place"; fi
  done
  if [[ -n "$previous" ]]; then
    case " {" ".join(sorted(PATHS))} " in *" $previous "*) _files; return ;; esac
    case "$place $previous" in
{choices}
    esac
    return
  fi
  if (( $#live )); then
    names=("${{(@f)$(timeout 1 queuectl $live -o name 2>/dev/null)}}")
    compadd -- $names
  fi
  _describe -t commands queuectl words_
}}
_queuectl_table() {{
  case "$1" in
{cases}
    *) return 1 ;;
  esac
}}
compdef _queuectl queuectl"""


def fish(known: Sequence[Complete]) -> str:
    """For fish, with what each word means."""
    cases = "\n".join(
        f"    case {_quoted(' '.join(one.path))}\n"
        + "".join(f"      printf '%s\\n' {_quoted(_described(name, text, TAB))}\n" for name, text in _all(one))
        + (f"      timeout 1 queuectl {' '.join(one.live)} -o name 2>/dev/null\n" if one.live else "")
        for one in known
    )
    valued = "\n".join(
        f"    case {_quoted(' '.join(one.path))}\n      printf '%s\\n' {' '.join(name for name, _ in one.values) or _quoted('')}"
        for one in known
    )
    choices = "\n".join(
        f"      case {_quoted(key)}\n        printf '%s\\n' {' '.join(values)}" for key, values in _choices(known)
    )
    paths = " ".join(_quoted(" ".join(one.path)) for one in known)
    return f"""# Completes command lines of queuectl. In ~/.config/fish/completions/queuectl.fish: queuectl completion fish | source
set -g __queuectl_paths {paths}
function __queuectl_words
  switch "$argv[1]"
{cases}  end
end
function __queuectl_valued
  switch "$argv[1]"
{valued}
  end
end
function __queuectl
  set -l place ""
  set -l previous ""
  for word in (commandline -opc)[2..-1]
    if test -n "$previous"
      set previous ""
      continue
    end
    if string match -q -- "-*" $word
      contains -- $word (__queuectl_valued "$place"); and set previous $word
      continue
    end
    set -l next (string trim "$place $word")
    contains -- "$next" $__queuectl_paths; and set place "$next"
  end
  if test -n "$previous"
    if contains -- $previous {" ".join(sorted(PATHS))}
      __fish_complete_path (commandline -ct)
      return
    end
    switch "$place $previous"
{choices}
    end
    return
  end
  __queuectl_words "$place"
end
complete -c queuectl -f -a "(__queuectl)\""""


def _all(one: Complete) -> list[tuple[str, str]]:
    return [*one.words, *((field, "") for field in (fields() if one.query else ())), *one.options]


def _choices(known: Sequence[Complete]) -> list[tuple[str, tuple[str, ...]]]:
    """The values of options that have few, by command and option."""
    return [(f"{' '.join(one.path)} {name}", values) for one in known for name, values in one.values if values]


def _described(name: str, text: str, sign: str) -> str:
    """A word with what it means behind it, as the shell wants it. zsh's own sign must not stand in the word."""
    plain = " ".join(text.replace("(default %(default)s)", "").replace("%%", "%").split())
    word = name.replace(":", r"\:") if sign == ":" else name
    return f"{word}{sign}{plain}" if plain else word


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
