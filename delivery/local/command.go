package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/queue"
)

// commandPath is where commands without a directory are looked for.
const commandPath = "/usr/local/bin:/usr/bin:/bin"

// shell runs what takes a shell.
const shell = "/bin/sh"

// pipe has a command take the message on its standard input, as the job's owner.
func (m *Mailboxes) pipe(ctx context.Context, j Job, e Envelope, message messageWriter) (Outcome, error) {
	dir, err := workingDirectory(j)
	if err != nil {
		return Outcome{}, err
	}
	p := program{argv: argvOf(j), dir: dir, env: m.variables(j, e), limit: m.commandTimeout}
	end, err := p.run(ctx, func(w io.Writer) error { return message(w, formatPipe) })
	if err != nil {
		return Outcome{}, fmt.Errorf("command %s: %w", shown(j.line), err)
	}
	o := outcomeOfCommand(j.line, end)
	if code := end.status.ExitStatus(); j.mailbox && (code == notFound || code == notExecutable) {
		// While it is being installed anew, nobody's mail is to be returned.
		o.Result, o.Status = queue.Temporary, "4.3.5"
		o.Text += "; local.mailbox names it"
	}
	return o, nil
}

// argvOf are the words to execute. What is found nowhere may be built into the
// shell, as "exit" is, so that the shell has the last word; but only on a command
// line that somebody wrote, never on words that values were put into.
func argvOf(j Job) []string {
	byShell := []string{shell, "-c", j.line}
	if j.argv == nil {
		return byShell
	}
	name := j.argv[0]
	if strings.Contains(name, "/") {
		return j.argv
	}
	for _, dir := range filepath.SplitList(commandPath) {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return append([]string{path}, j.argv[1:]...)
		}
	}
	return byShell
}

// workingDirectory is the owner's home, or / for who has none.
func workingDirectory(j Job) (string, error) {
	if j.dir != "" {
		return j.dir, nil
	}
	home := j.Owner.Home
	if !filepath.IsAbs(home) {
		return "/", nil
	}
	err := unix.Access(home, unix.X_OK)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "/", nil
	}
	if err != nil {
		return "", fmt.Errorf("enter home directory %s: %w", home, err)
	}
	return home, nil
}

// variables are the environment of a command. What came with the mail has none of
// the characters that a shell would act upon.
func (m *Mailboxes) variables(j Job, e Envelope) []string {
	sh := j.Owner.Shell
	if sh == "" {
		sh = shell
	}
	return append([]string{
		"USER=" + j.Owner.Name,
		"LOGNAME=" + j.Owner.Name,
		"HOME=" + j.Owner.Home,
		"SHELL=" + sh,
		"PATH=" + commandPath,
		"LOCAL=" + harmless(e.To.Local),
		"DOMAIN=" + harmless(e.To.Domain),
		"EXTENSION=" + harmless(j.extension),
		"RECIPIENT=" + harmless(e.To.String()),
		"ORIGINAL_RECIPIENT=" + harmless(e.original()),
		"SENDER=" + harmless(e.From.String()),
	}, m.environment...)
}

// Locale gives the variables of this process that commands should have too, for
// Options.Environment: LANG and TZ.
func Locale() []string {
	var set []string
	for _, name := range []string{"LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			set = append(set, name+"="+value)
		}
	}
	return set
}
