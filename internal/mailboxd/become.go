package mailboxd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"postrider/delivery/local"
)

// Arguments with which this program is the process that delivers.
var deliverArguments = [...]string{"local-helper", "--deliver"}

// process is a delivery under way.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
}

// spare is what a process may take beyond the time in which its job must be done,
// before it is ended.
const spare = 15 * time.Second

// become starts a process that is the user whose job it is and has the connection.
func become(j job, gid int, conn *net.UnixConn, stderr io.Writer) (*process, error) {
	groups, err := groupsOf(j.Owner)
	if err != nil {
		return nil, err
	}
	var input bytes.Buffer
	if err := writeFrame(&input, j, maxJob); err != nil {
		return nil, err
	}
	file, err := conn.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// A delivery under way may end when the helper is told to stop.
	ctx, cancel := context.WithTimeout(context.Background(), j.Limit+spare)
	cmd := exec.CommandContext(ctx, self, deliverArguments[:]...)
	cmd.Args[0] = "postrider"
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = &input, stderr, []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
		Uid: uint32(j.Owner.UID), Gid: uint32(gid), Groups: groups,
	}}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	return &process{cmd, cancel}, nil
}

func (p *process) wait() error {
	defer p.cancel()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("delivering process ended with %w", err)
	}
	return nil
}

// groupsOf lists the groups that a login of the user would have.
func groupsOf(u local.User) ([]uint32, error) {
	account := user.User{Username: u.Name, Uid: strconv.Itoa(u.UID), Gid: strconv.Itoa(u.GID), HomeDir: u.Home}
	ids, err := account.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up groups: %w", err)
	}
	groups := make([]uint32, 0, len(ids))
	for _, id := range ids {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("group %q: %w", id, err)
		}
		groups = append(groups, uint32(n))
	}
	return groups, nil
}
