"""Programs that start others."""

LAUNCHERS = (
    "ash awk bash busybox csh cvs dash doas ed emacs env expect find flock fish gawk gdb git hg ionice ksh less ltrace "
    "mawk man more nano nice nohup parallel perl php pkexec python python3 rbash rlwrap rsync ruby runuser scp script "
    "sed setsid sftp sh ssh stdbuf strace su sudo svn tar tclsh tee time timeout tmux vi vim watch xargs zip zsh"
)
"""Programs whose arguments can name another program to run, so ``<anything>`` behind them would be a shell."""
