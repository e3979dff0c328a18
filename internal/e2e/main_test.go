package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	// The programs are not linked into the tests. These imports are, so that go test
	// does not take an old result for that of programs which have changed.
	_ "postrider/internal/command"
	_ "postrider/internal/sendmail"
)

// parallel is how many tests run at once unless -parallel says otherwise: they
// mostly wait, for programs that mostly wait.
const parallel = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs())
	return m.Run()
}

// prepare builds the programs.
func prepare() error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallel); err != nil {
			return err
		}
	}
	dir := programs()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("go", "build", "-o", dir, "postrider/cmd/...").CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return os.Symlink("sendmail", filepath.Join(dir, "mailq"))
}

// programs is the directory of the built programs, readable for every user.
func programs() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("postrider-e2e-%d", os.Getpid()))
}
