# Compiles the configuration in $HOME/.gitolite/conf with gitolite's own code and answers questions: REPO USER AA REF a
# line, of which the answer is "yes" or "no".  The first argument is gitolite's directory.
BEGIN { $ENV{GL_BINDIR} = $ARGV[0]; $ENV{GL_LIBDIR} = "$ARGV[0]/lib"; unshift @INC, $ENV{GL_LIBDIR}; }
use strict;
use warnings;
use Gitolite::Rc;
use Gitolite::Common;
use Gitolite::Conf;
use Gitolite::Conf::Sugar;
use Gitolite::Conf::Store;
use Gitolite::Conf::Load;

open(STDERR, '>', '/dev/null');
shift @ARGV;
my $ok = eval { _chdir($rc{GL_ADMIN_BASE}); _chdir('conf'); Gitolite::Conf::parse(sugar('gitolite.conf')); new_repos(); store(); 1 };
print $ok ? "compiled\n" : "died\n";
exit 0 unless $ok;
while (my $line = <STDIN>) {
    my ($repo, $user, $aa, $ref) = split ' ', $line;
    my $op = $aa;
    $op = 'W' if $aa eq 'C' and not option($repo, 'CREATE_IS_C');
    $op = '+' if $aa eq 'D' and not option($repo, 'DELETE_IS_D');
    my $answer = eval { access($repo, $user, $op, $ref) } // "DENIED by error";
    print $answer =~ /DENIED/ ? "no\n" : "yes\n";
}
