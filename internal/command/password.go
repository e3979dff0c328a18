package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/sysexits"
)

// maxPasswordLine bounds what is read for a password; longer ones are refused.
const maxPasswordLine = 4096

// newPassword asks for a password twice where somebody sits at a terminal, and
// reads one line elsewhere. Passwords do not come in argv, which all users can see.
func (a *app) newPassword(ctx context.Context, name string) (string, error) {
	terminal, ok := terminalOf(a.stdin)
	if !ok {
		return readLine(a.stdin)
	}
	first, err := a.ask(ctx, terminal, "Password for "+name+": ")
	if err != nil {
		return "", err
	}
	second, err := a.ask(ctx, terminal, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", exit(sysexits.DataErr, "the two passwords differ; nothing was changed")
	}
	return first, nil
}

// terminalOf tells whether a stream is a terminal.
func terminalOf(stream any) (*os.File, bool) {
	file, ok := stream.(*os.File)
	if !ok {
		return nil, false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return file, err == nil
}

// ask reads a line from the terminal without showing it.
func (a *app) ask(ctx context.Context, terminal *os.File, prompt string) (_ string, err error) {
	fd := int(terminal.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", exit(sysexits.IOErr, "read settings of the terminal: %w", err)
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return "", exit(sysexits.IOErr, "hide what is typed: %w", err)
	}
	defer func() {
		fmt.Fprintln(a.stderr)
		if restoreErr := unix.IoctlSetTermios(fd, unix.TCSETS, before); err == nil && restoreErr != nil {
			err = exit(sysexits.IOErr, "show again what is typed: %w; run stty sane", restoreErr)
		}
	}()
	fmt.Fprint(a.stderr, prompt)
	if err := waitReadable(ctx, fd); err != nil {
		return "", exit(sysexits.TempFail, "no password was given: %w", err)
	}
	return readLine(terminal)
}

// waitReadable waits for a line and, unlike a read, notices an interrupt.
func waitReadable(ctx context.Context, fd int) error {
	const look = 200 // milliseconds
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, look)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case n > 0:
			return nil
		}
	}
}

// readLine reads up to a line's end, and nothing behind it.
func readLine(r io.Reader) (string, error) {
	var line strings.Builder
	var one [1]byte
	for line.Len() <= maxPasswordLine {
		n, err := r.Read(one[:])
		if n == 1 && one[0] != '\n' {
			line.WriteByte(one[0])
		}
		if n == 1 && one[0] == '\n' || err == io.EOF {
			return strings.TrimSuffix(line.String(), "\r"), nil
		}
		if err != nil {
			return "", exit(sysexits.IOErr, "read password: %w", err)
		}
	}
	return "", exit(sysexits.DataErr, "the password has more than %d bytes", maxPasswordLine)
}
