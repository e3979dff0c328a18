package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxSaid of what a command writes is kept, the rest is read and thrown away.
	maxSaid = 2 << 10
	// lastWords bounds the wait for output after the end of a command: it may have
	// left processes behind that keep it open.
	lastWords = time.Second
)

// program is a command to be run.
type program struct {
	argv  []string
	dir   string
	env   []string
	limit time.Duration
}

// run has the program read what feed writes, and waits for its end. Whatever it
// does not read is left out. If feed fails, or ctx or the time ends, it is killed
// with all that it started, before it could take what it has got for all there is.
func (p program) run(ctx context.Context, feed func(io.Writer) error) (ending, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.limit, fmt.Errorf("took longer than %v and was killed", p.limit))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	cmd, in, out, err := p.start()
	if err != nil {
		return unstarted(err)
	}
	defer out.Close()
	group := &group{leader: cmd.Process.Pid}
	defer context.AfterFunc(ctx, group.kill)()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		defer in.Close()
		s := sink{w: in}
		if err := feed(&s); err != nil && s.err == nil {
			fail(err)
			group.kill()
		}
	}()
	said := make(chan string)
	go func() { said <- firstOf(out) }()

	group.wait()
	waited := cmd.Wait()
	in.Close() // what it left behind may keep the other end open and never read
	<-fed
	deadline := out.SetReadDeadline(time.Now().Add(lastWords))
	e := ending{said: <-said, sh: p.argv[0] == shell}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || deadline != nil {
		return e, fmt.Errorf("see how it ended: %w", errors.Join(waited, deadline))
	}
	e.status = status
	if cause := context.Cause(ctx); cause != nil && status.Signaled() {
		return e, cause
	}
	return e, nil
}

// start starts the program with pipes, in a session of its own: no terminal, and
// a process group that can be killed as one.
func (p program) start() (cmd *exec.Cmd, in, out *os.File, err error) {
	if err := closeOnExec(); err != nil {
		return nil, nil, nil, fmt.Errorf("close files: %w", err)
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, nil, nil, err
	}
	defer theirOut.Close()
	cmd, err = p.execute(theirIn, theirOut)
	if errors.Is(err, unix.ENOEXEC) { // a script that does not say of what kind
		p.argv = append([]string{shell}, p.argv...)
		cmd, err = p.execute(theirIn, theirOut)
	}
	if err != nil {
		in.Close()
		out.Close()
		return nil, nil, nil, err
	}
	return cmd, in, out, nil
}

func (p program) execute(in, out *os.File) (*exec.Cmd, error) {
	cmd := &exec.Cmd{
		Path: p.argv[0], Args: p.argv, Dir: p.dir, Env: p.env, Stdin: in, Stdout: out, Stderr: out,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	return cmd, startPrivately(cmd)
}

// startPrivately starts a command whose files are for its user alone. The umask is
// made so in a thread that has one of its own and ends with it. Where a sandbox
// denies that, the whole process gets the umask, for good.
func startPrivately(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		_ = unix.Unshare(unix.CLONE_FS)
		unix.Umask(0o077)
		started <- cmd.Start()
	}()
	return <-started
}

// closeOnExec keeps from commands what this process inherited and does not know of.
func closeOnExec() error {
	if unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	open, err := os.ReadDir("/proc/self/fd")
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return err
}

// unstarted tells what cannot be run from what cannot be run now.
func unstarted(err error) (ending, error) {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return ending{status: notFound << 8}, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ELOOP):
		return ending{status: notExecutable << 8}, nil
	}
	return ending{}, err
}

// group is a process and what it started, as far as that did not leave.
type group struct {
	mu     sync.Mutex
	leader int
	ended  bool
}

// kill ends all of them, while the number is still theirs.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		_ = unix.Kill(-g.leader, unix.SIGKILL)
	}
}

// wait waits for the leader without collecting it, which keeps its number.
func (g *group) wait() {
	for {
		err := unix.Waitid(unix.P_PID, g.leader, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}

// sink tells errors of writing to a program from those of reading the message.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// firstOf reads to the end and keeps the beginning.
func firstOf(r io.Reader) string {
	text, err := io.ReadAll(io.LimitReader(r, maxSaid))
	if err == nil {
		_, _ = io.Copy(io.Discard, r)
	}
	return string(text)
}
