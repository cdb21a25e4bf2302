# Compiles configurations with gitolite's own code and answers questions.  Of each a line "= HOME", whose .gitolite/conf it
# is, then REPO USER AA REF a line, of which the answer is "yes" or "no" (of AA V: are there checks by
# programs, VREF); before these stands "compiled" or "died".  One
# that is compiled leaves its traces, so each has a process; all start with what is loaded.
# The first argument is gitolite's directory, the second the place of an rc file for all.
BEGIN {
    $ENV{GL_BINDIR} = $ARGV[0];
    $ENV{GL_LIBDIR} = "$ARGV[0]/lib";
    $ENV{HOME} = $ARGV[1];
    unshift @INC, $ENV{GL_LIBDIR};
}
use strict;
use warnings;
use Gitolite::Rc;
use Gitolite::Common;
use Gitolite::Conf;
use Gitolite::Conf::Sugar;
use Gitolite::Conf::Store;
use Gitolite::Conf::Load;

open(STDERR, '>', '/dev/null');
my @cases;
while (my $line = <STDIN>) {
    chomp $line;
    if ($line =~ /^= (.*)/) { push @cases, [$1] }
    else                    { push @{ $cases[-1] }, $line }
}
@ARGV = ();
$| = 1;
for my $case (@cases) {
    my $pid = fork() // die;
    unless ($pid) { answer(@$case); exit 0 }
    waitpid($pid, 0);
}

sub answer {
    my ($home, @asked) = @_;
    $ENV{HOME} = $home;
    $ENV{GL_REPO_BASE} = $rc{GL_REPO_BASE} = "$home/repositories";
    $ENV{GL_ADMIN_BASE} = $rc{GL_ADMIN_BASE} = "$home/.gitolite";
    $ENV{GL_LOGFILE} = $rc{GL_LOGFILE} = "$home/.gitolite/logs/x";
    my $ok = eval { _chdir($rc{GL_ADMIN_BASE}); _chdir('conf'); Gitolite::Conf::parse(sugar('gitolite.conf')); new_repos(); store(); 1 };
    my @out = ($ok ? 'compiled' : 'died');
    my ($before, %options) = ('');
    for my $line (@asked) {
        my ($repo, $user, $aa, $ref) = split ' ', $line;
        %options = map { $_ => option($repo, $_) } qw(CREATE_IS_C DELETE_IS_D MERGE_CHECK) if $ok and $repo ne $before;
        $before = $repo;
        my $op = $aa;
        # As access(1) and Update.pm have it; M says that what is pushed has a merge.
        $op = 'W' if $aa eq 'C' and not $options{CREATE_IS_C};
        $op = '+' if $aa eq 'D' and not $options{DELETE_IS_D};
        $op =~ s/M// unless $options{MERGE_CHECK};
        if ($aa eq 'V') { push @out, $ok && Gitolite::Conf::Load::vrefs($repo, $user) ? 'yes' : 'no'; next }
        my $answer = $ok ? eval { access($repo, $user, $op, $ref) } // 'DENIED by error' : 'DENIED';
        push @out, $answer =~ /DENIED/ ? 'no' : 'yes';
    }
    print "$_\n" for @out;
}
