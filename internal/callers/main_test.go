package callers

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Names of environment variables, and the value of the first that says that the
// process has been taken apart from the host.
const (
	wanted = "POSTRIDER_CALLERS"
	apart  = "apart"
	kept   = "POSTRIDER_CALLERS_DIR"
)

// parallel is how many callers run at once: they mostly wait.
const parallel = "40"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(wanted) != "1" {
		os.Exit(m.Run())
	}
	code, err := again()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// again runs this program again, apart from the host. With it all it has started
// ends, and all it has mounted goes.
func again() (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("callers: must be root to mount file systems and to become the users of a machine")
	}
	dir := keptDir()
	if _, err := os.Stat(filepath.Join(dir, "stamp")); err != nil {
		return 0, fmt.Errorf("callers: run internal/callers/install first: %w", err)
	}
	run, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(run)) }()
	cmd := exec.Command("/proc/self/exe", append(os.Args[1:], "-test.parallel="+parallel, "-"+runFlag+"="+run)...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), wanted+"="+apart)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("callers: start apart from the host: %w", err)
	}
	return cmd.ProcessState.ExitCode(), nil
}

// runFlag names the directory of this run.
const runFlag = "callers.run"

// runDir is where this run may write.
var runDir = flag.String(runFlag, "", "directory of this run; set by the tests themselves")

func keptDir() string {
	if dir := os.Getenv(kept); dir != "" {
		return dir
	}
	return "/var/cache/postrider-callers"
}
