"""What a decision of the matcher means for one account: the facts, and what an administrator would change."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jailssh.core.errors import JailsshError, ManyErrors, UsageError
from jailssh.core.journal_fields import KEY, PEER, REASONS
from jailssh.core.names import JailPath, escape, same_source
from jailssh.core.ports import GROUP_PREFIX
from jailssh.diagnose import reasons
from jailssh.diagnose.suggest import COMMAND, blocking_setting, line_remedies, settings_lines, why_no_line, written
from jailssh.diagnose.trials import Remedy, Trials
from jailssh.host import accounts, matcher
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, NoKeysError, NotJailedError, load_configuration
from jailssh.jail.holders import Holder
from jailssh.jail.this_host import to_account
from jailssh.plan import codec, limits
from jailssh.plan.codec import Plan
from jailssh.plan.places import paths_of, patterns_of, place_of, rule_environment, rule_records_of, values_of
from jailssh.plugin.api import RefRight, Right
from jailssh.publish import quotas
from jailssh.publish.plan_files import login_plan, read_entry

_UNSPLIT = ("empty-command", "command-too-long", "too-many-words", "control-character", "shell-metacharacter",
            "unbalanced-quote")  # fmt: skip


@dataclass(frozen=True)
class Explanation:
    """The facts, for programs, and the same as lines, for people."""

    allowed: bool
    facts: dict[str, Any]
    lines: list[str]


def explain(
    layout: Layout, entry: accounts.AccountEntry, command: str | None, key: str | None = None, enter: str | None = None
) -> Explanation:
    """Explain what the account's published plan says about ``command``, None for an interactive login.

    ``key``: whose plan, in a shared account; ``enter``: the jail that the account enters instead of logging in.  Raises
    :class:`JailsshError` where the account has no plan.
    """
    plan = entry_plan(layout, entry, enter) if enter else login_plan(layout, entry.uid, entry.name, key)
    if plan is None:
        raise no_plan(layout, entry)
    verdict = matcher.judge(layout, codec.encode(plan), command)
    facts: dict[str, Any] = {
        "user": entry.name,
        "key": key,
        "jail": (plan.first("jail") or ("",))[0],
        "plan": plan.serial,
        "command": command,
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "plugin": verdict.plugin,
    }
    if verdict.allowed:
        more, lines = _allowed(
            plan, verdict, _rights(layout, entry, key, patterns_of(plan, verdict.rule, verdict.path))
        )
    else:
        more, lines = _denied(plan, verdict)
    facts.update(more)
    if enter:
        facts["enter"] = enter
    if not verdict.allowed and not enter and not plan.first("forward"):
        facts["advice"] = advice(layout, entry, command, verdict, key)
        lines += facts["advice"]
    if not enter and plan.first("forward"):
        facts["ports"], more_lines = _ports(layout, entry, plan)
        lines += more_lines
    facts["limits"], facts["limited_now"], more_lines = _limited(layout, entry, plan, key)
    lines += more_lines
    return Explanation(verdict.allowed, facts, lines)


def _ports(layout: Layout, entry: accounts.AccountEntry, plan: Plan) -> tuple[dict[str, Any], list[str]]:
    """Return what sshd forwards for the account instead of a session, with lines: by its groups, not by its jail."""
    lists = load_configuration(layout).port_lists()
    (group,) = plan.first("forward") or ("",)
    groups, ports = accounts.listed_groups(entry.name, GROUP_PREFIX), lists.get(group)
    if groups != [group] or ports is None:
        why = "the account is not held to what its jail names"
        return {"forwards": False}, [f"sshd forwards nothing for it: {why}; run: jailssh apply"]
    facts: dict[str, Any] = {"forwards": True, "open": ports.open, "listen": ports.listen}
    lines = ["sshd forwards for it, and starts no session:"]
    lines += [f"  to {place} (ssh -J, -W, -L, -D)" for place in ports.open]
    return facts, lines + [f"  from {place} of this host to the client (ssh -R)" for place in ports.listen]


def _limited(
    layout: Layout, entry: accounts.AccountEntry, plan: Plan, key: str | None
) -> tuple[dict[str, str], dict[str, str] | None, list[str]]:
    """Return the limits that the plan holds, and which of them denies every login now, with the lines for both."""
    access = limits.access_of(plan)
    held = quotas.usage(layout, entry.uid, entry.home)
    found = limits.in_force(access) | ({"quota": "; ".join(each.said() for each in held)} if held else {})
    lines = ["limits:", *(f"  {name}: {text}" for name, text in found.items())] if found else []
    now = int(time.time())
    reason, sentence = limits.judge(access, now)
    if not reason:
        return found, None, lines
    lines.append(f"but a login is denied now ({reason}), {limits.clock_text(access, now)}: {sentence}")
    try:
        lines.append(reasons.limit(load_configuration(layout), entry, reason, key or ""))
    except JailsshError as error:
        lines.append(f"the configuration is wrong: {error}")
    return found, {"reason": reason, "sentence": sentence}, lines


def what_happened(layout: Layout, entry: accounts.AccountEntry, record: JournalRecord, reason: str) -> list[str]:
    """Return what ``reason``, a login's, says that its command does not show, and what would change it."""
    try:
        plan = login_plan(layout, entry.uid, entry.name, record.get(KEY) or None)
    except UsageError:
        plan = None  # Whose key it was has none by now.
    when = limits.clock_text(limits.access_of(plan), int(record.time)) if plan else record.when
    try:
        configuration = load_configuration(layout)
    except JailsshError as error:
        return [f"the configuration is wrong: {error}"]
    # An account that is not in a jail itself, as one that may enter, sends records with whatever it likes.
    peer, key = escape(record.get(PEER).partition(" ")[0], 80), record.get(KEY)
    return reasons.explained(configuration, entry, reason, peer=peer, when=when, key=key)


def entry_plan(layout: Layout, entry: accounts.AccountEntry, jail: str) -> Plan:
    """Return the published plan of the account for entering ``jail``; raises :class:`JailsshError` without one."""
    plan = read_entry(layout, entry.uid, jail)
    if plan is None or plan.name != entry.name:
        why = f"does not exist: the account may not enter jail {jail}, or it has not been published"
        hint = f"put {entry.name} into 'enter' of {layout.jails}/{jail}.conf, and: jailssh apply"
        raise JailsshError(f"plan of {entry.name}", why, hint=hint)
    return plan


def no_plan(layout: Layout, entry: accounts.AccountEntry) -> JailsshError:
    """Return why there is no plan of this account, and what makes one."""
    what = f"plan of {entry.name}"
    try:
        configuration = load_configuration(layout)
        configuration.jails_for(to_account(entry))
        configuration.keyring(entry.name)
    except NotJailedError as error:
        return JailsshError(what, "does not exist: the account is not in a jail", hint=error.hint)
    except NoKeysError as error:
        return JailsshError(what, f"does not exist: the account {error.why}", hint=error.hint)
    except JailsshError as error:
        return JailsshError(
            what, f"does not exist, and the configuration is wrong: {error}", hint="jailssh config check"
        )
    if entry.name not in {*configuration.user_names(), *configuration.shared_names()}:
        why = "does not exist yet; for a member of a group, jailsshd creates it at the first login"
        return JailsshError(what, why, hint="systemctl enable --now jailsshd.socket")
    return JailsshError(what, "does not exist yet; the next login creates it", hint="jailssh apply")


def _allowed(plan: Plan, verdict: matcher.Verdict, rights: list[str]) -> tuple[dict[str, Any], list[str]]:
    patterns = patterns_of(plan, verdict.rule, verdict.path)
    paths = paths_of(plan, verdict.rule, verdict.argv) or ([verdict.path] if patterns else [])
    places = [place_of(plan, path) for path in paths]
    environment = rule_environment(plan, verdict.rule, verdict.path)
    runs = f"runs {verdict.program}: {escape(shlex.join(verdict.argv), 70000)}"
    first = _first(plan, verdict.rule, verdict.path)
    records = rule_records_of(plan, verdict.rule)
    answer = next((args[1] for args in values_of(records, "answer")), None)
    logged, alone, keep = (bool(values_of(records, verb)) for verb in ("log", "alone", "keep"))
    lines = [
        f"allowed by rule {verdict.rule} of plugin {verdict.plugin}",
        *([f"runs first: {escape(shlex.join(first), 70000)}"] if first else []),
        runs if answer is None else f"runs nothing; the rule answers: {answer}",
        *(["logs file operations to the journal"] if logged else []),
        *(["cannot execute other programs after its start"] if alone else []),
        *(["can create files, but not overwrite, move or remove any"] if keep else []),
        *(f"with {name}={escape(value)}" for name, value in environment.items()),
        *(escape(str(place)) for place in places),
        *(f"pattern: {pattern}" for pattern in patterns),
        *rights,
        *_not_there(plan, verdict),
    ]
    facts = {
        "first": first,
        "answer": answer,
        "log": logged,
        "alone": alone,
        "keep": keep,
        "patterns": patterns,
        "rights": rights,
        "program": verdict.program,
        "argv": list(verdict.argv),
        "environment": environment,
        "paths": [asdict(place) for place in places],
    }
    return facts, lines


def _first(plan: Plan, rule: str, path: JailPath) -> list[str]:
    """Return what a rule runs before its program."""
    words = [args[0] for args in values_of(rule_records_of(plan, rule), "first")]
    return [path if word == "%p" else word for word in words]


def _not_there(plan: Plan, verdict: matcher.Verdict) -> list[str]:
    """Return what a login would find that the matcher, which sees text alone, does not: no repository of this name."""
    records = rule_records_of(plan, verdict.rule)
    kinds = [args[2] for args in values_of(records, "operands")]
    made = JailPath(f"{verdict.path}.git")
    # Repositories lie in directories that the jail shows at their own place.
    if "repository" not in kinds or any(os.path.lexists(same_source(path)) for path in (verdict.path, made)):
        return []
    words = set(values_of(records, "word"))
    for rule in (args[0] for args in values_of(plan.records, "rule")):
        other = rule_records_of(plan, rule)
        makes = "new-repository" in {args[2] for args in values_of(other, "operands")}
        if makes and words & set(values_of(other, "word")) and patterns_of(plan, rule, made):
            return [f"the repository does not exist yet; in a login, rule {rule} creates it with: "
                    f"{escape(shlex.join(_first(plan, rule, made)), 70000)}"]  # fmt: skip
    return ["but the repository does not exist, so a login is denied (no-such-repository)"]


def _rights(layout: Layout, entry: accounts.AccountEntry, key: str | None, patterns: Sequence[str]) -> list[str]:
    """Return the lines of tables of rights, as the files are now, that give this account or key these patterns."""
    if not patterns:
        return []
    try:
        configuration = load_configuration(layout)
        holder = _holder(configuration, entry, key)
        account, items = holder.account, holder.definition.config.items
    except JailsshError:
        return []  # What holds was published before the configuration went wrong.
    found = []
    for line in (line for item in items for line in item.lines):
        right = Right.of(line.text)
        gives = right.on_ref is not RefRight.DENY and account.roles.intersection(right.who)
        if gives and any(f"/{each}".endswith(f"/{right.pattern}") for each in patterns):
            found.append(f"granted at {line.origin}: {line.text}")
    return found


def _rejected(detail: str) -> str:
    """Return the detail of a denial with the text of the user's in quotes; ``operands`` have none."""
    what, _, text = detail.partition(" ")
    return f"{what} '{text}'" if what != "operands" else detail


def _denied(plan: Plan, verdict: matcher.Verdict) -> tuple[dict[str, Any], list[str]]:
    sentence = REASONS.get(verdict.reason, "")
    roots = [args[0] for args in values_of(rule_records_of(plan, verdict.rule), "below")]
    lines = [f"denied ({verdict.reason}): {sentence}"]
    if verdict.detail:
        told = verdict.reason == matcher.NOT_SERVED
        lines.append(f"message to the user: {verdict.detail}" if told else f"rejected: {_rejected(verdict.detail)}")
    if verdict.rule:
        lines.append(f"nearest rule: {verdict.rule} of plugin {verdict.plugin}")
    if verdict.reason.startswith("path-") and roots:
        lines.append(f"allowed directories: {', '.join(roots)}")
    facts = {"reason": verdict.reason, "sentence": sentence, "detail": verdict.detail, "below": roots,
             "words": list(verdict.words)}  # fmt: skip
    return facts, lines


def advice(
    layout: Layout, entry: accounts.AccountEntry, command: str | None, verdict: matcher.Verdict, key: str | None = None
) -> list[str]:
    """Return what would allow a denied command, a sentence each; found by trying, so it follows the configuration."""
    try:
        configuration = load_configuration(layout)
        trials = Trials(configuration, to_account(entry), _holder(configuration, entry, key))
        now = trials.judge(Remedy(), command)
        if now.allowed:
            return ["the configuration allows it; to publish it: jailssh apply"]
        found = trials.remedy(command, verdict.words)
        if found is None:
            return _nothing_found(trials, command, verdict)
        return _remedy_lines(configuration, trials, found, verdict.words)
    except ManyErrors as several:
        return [f"the configuration has {len(several.errors)} errors: jailssh config check"]
    except NotJailedError:
        return ["the account is no longer in a jail; to withdraw its plan: jailssh apply"]
    except JailsshError as error:
        return [f"the configuration is wrong: {error}"]


def _holder(configuration: Configuration, entry: accounts.AccountEntry, key: str | None) -> Holder:
    """Return who has this key of the account."""
    found = configuration.holder(to_account(entry), key or "")
    if found is not None:
        return found
    if key is None:
        raise JailsshError(f"account {entry.name}", "is now shared", hint="jailssh apply")
    raise JailsshError(f"key {key}", "is no longer a key of the account", hint="jailssh apply")


def _nothing_found(trials: Trials, command: str | None, verdict: matcher.Verdict) -> list[str]:
    shells = ", ".join(trials.plugins_with_shell())
    if command is None or verdict.reason in _UNSPLIT:
        return [f"no setting allows it, except a shell (plugin {shells})"] if shells else []
    if not verdict.words:
        return []
    if why := blocking_setting(trials, verdict):
        return [why]
    if verdict.rule and verdict.plugin != COMMAND:
        return ["no setting of this jail allows it"]
    first = escape(verdict.words[0], 80)
    out = [f"no plugin takes {first!r}"] if not verdict.rule else []
    remedies = [one for one in line_remedies(trials, [verdict.words]) if not one.lacks]
    for remedy in remedies:
        try:
            works = trials.judge(remedy, command).allowed
        except JailsshError:
            continue
        if works:
            lines = [*_plugins_line(trials, remedy), *settings_lines(remedy.changes)]
            return [*out, "a line of the plugin command allows it:", *(f"  {line}" for line in lines)]
    return [*out, f"a line of the plugin command cannot allow it: {why_no_line(trials, command, verdict.words)}"]


def _remedy_lines(configuration: Configuration, trials: Trials, remedy: Remedy, words: Sequence[str]) -> list[str]:
    if not remedy.plugins:
        head = "to allow it, set:"
    elif words:
        head = (
            f"no plugin of this jail takes {escape(words[0], 80)!r}; to allow it with plugin {remedy.plugins[0]}, set:"
        )
    else:
        head = f"no plugin of this jail allows an interactive login; to allow it with plugin {remedy.plugins[0]}, set:"
    lines = [*_plugins_line(trials, remedy), *settings_lines(remedy.changes)]
    out = [head, *(f"  {line}" for line in lines)]
    for change in remedy.changes:
        options = configuration.registry.options(change.plugin)
        out += [f"  ({change.option}: {option.help})" for option in options if option.name == change.option]
    out += ["  (the directory is a guess: the command does not name it)"] if remedy.guess else []
    if set(remedy.plugins) & set(trials.plugins_with_shell()):
        out.append("  (a shell runs every program of its jail: the allow-list has no effect)")
    return out + ([f"but {remedy.lacks}"] if remedy.lacks else [])


def _plugins_line(trials: Trials, remedy: Remedy) -> list[str]:
    if not remedy.plugins:
        return []
    every = sorted({*trials.definition.config.plugins, *remedy.plugins})
    return [f"plugins = {written(' '.join(every)).strip(chr(34))}"]
