package boltstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/queue"
)

// childPath names, in a child process of a test, the store to work on.
const childPath = "BOLTSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(child(path))
	}
	os.Exit(m.Run())
}

// child accepts and delivers mail as fast as it can, and prints what it was told is
// durable: "+ID" accepted, "-ID" delivered. It ends when the store fails, with 3 if
// the store says so.
func child(path string) int {
	s, err := Open(path, Options{Ballast: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var out sync.Mutex
	say := func(sign string, id queue.ID) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(sign + id.String())
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				size := 2000
				if n%10 == i {
					size = 1<<20 + 5
				}
				id, err := put(s, size)
				if err != nil {
					return
				}
				say("+", id)
				ls, err := s.Claim(context.Background(), queue.Claim{Destination: "d", Now: noon, Until: noon.Add(time.Hour), Max: n % 2})
				for _, l := range ls {
					if err = deliver(s, l); err == nil {
						say("-", l.Key.Message)
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case <-s.Failed():
	default:
		return 1
	}
	if _, err := put(s, 1); !errors.Is(err, queue.ErrFailed) {
		return 1
	}
	return 3
}

// oracle is what a child said.
type oracle struct{ accepted, delivered map[queue.ID]bool }

func listen(t *testing.T, out *bytes.Buffer) oracle {
	t.Helper()
	o := oracle{make(map[queue.ID]bool), make(map[queue.ID]bool)}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		line := sc.Text()
		if len(line) != 13 {
			continue // cut off by the kill
		}
		id, err := queue.ParseID(line[1:])
		if err != nil {
			t.Fatal(err)
		}
		if line[0] == '+' {
			o.accepted[id] = true
		} else {
			o.delivered[id] = true
		}
	}
	return o
}

// verify opens the store and demands all that was said to be durable.
func (o oracle) verify(t *testing.T, path string) {
	t.Helper()
	s, err := Open(path, Options{Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	mustCheck(t, s)
	for id := range o.accepted {
		_, queued := s.Get(t.Context(), id)
		_, retired := s.Retired(t.Context(), id)
		if queued != nil && retired != nil {
			t.Errorf("%s was accepted and is lost: %v", id, queued)
		}
		if o.delivered[id] && retired != nil {
			t.Errorf("%s was delivered, and it is forgotten: %v", id, retired)
		}
	}
	if n := rows(t, s, stagedBucket); n != 0 {
		t.Errorf("%d unfinished bodies are left", n)
	}
}

func childCommand(ctx context.Context, path string, wrapper ...string) (*exec.Cmd, *bytes.Buffer) {
	args := append(wrapper, os.Args[0])
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd, out
}

// TestKill kills a process at random moments, again and again on the same store.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	all := oracle{make(map[queue.ID]bool), make(map[queue.ID]bool)}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond+time.Duration(rnd.Int64N(int64(300*time.Millisecond))))
		cmd, out := childCommand(ctx, path)
		err := cmd.Run()
		cancel()
		if err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the child was not killed: %v", err)
		}
		o := listen(t, out)
		for id := range o.accepted {
			if all.accepted[id] {
				t.Errorf("%s was given twice", id)
			}
			all.accepted[id] = true
		}
		for id := range o.delivered {
			all.delivered[id] = true
		}
		if _, err := os.Stat(path); err == nil {
			all.verify(t, path)
		}
	}
	if len(all.accepted) < 20 {
		t.Errorf("only %d messages were accepted", len(all.accepted))
	}
}

// TestSyncFails has the kernel report an error for one sync.
func TestSyncFails(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	for _, inject := range []string{
		"fdatasync:error=EIO:when=9", "fdatasync:error=EIO:when=14", "pwrite64:error=EIO:when=60",
	} {
		t.Run(inject, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd, out := childCommand(ctx, path, "strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=fdatasync,fsync,pwrite64", "-e", "inject="+inject)
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != 3 {
				if strings.Contains(fmt.Sprint(err), "ptrace") {
					t.Skipf("strace cannot trace here: %v", err)
				}
				t.Fatalf("the child ended with %v, want that its store failed", err)
			}
			listen(t, out).verify(t, path)
		})
	}
}

// TestTornCommit makes the files that a power failure in the middle of a commit may
// leave: any of its data pages written or not, its meta page not or only in part.
func TestTornCommit(t *testing.T) {
	var before []byte
	path := filepath.Join(t.TempDir(), "queue.db")
	rnd := rand.New(rand.NewPCG(3, 4))
	s := openAt(t, path, Options{Ballast: -1, commitFault: func() (err error) {
		before, err = os.ReadFile(path)
		return err
	}})
	var ids []queue.ID
	for step := range 25 {
		if step%3 == 2 {
			if err := deliver(s, take(t, s, 1)[0]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		ids = append(ids, mustPut(t, s, 1000+20000*(step%2)))
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		torn := tear(rnd, before, after)
		checkCopy(t, torn, ids[:len(ids)-1])
		checkCopy(t, after, ids)
	}
}

// tear mixes the pages of two states of a file. One of the meta pages differs: it
// is taken as it was, or cut in the middle.
func tear(rnd *rand.Rand, before, after []byte) []byte {
	torn := bytes.Clone(after)
	for at := 0; at < len(before); at += 4096 {
		if at < 2*pageSize || rnd.IntN(2) == 0 {
			copy(torn[at:at+4096], before[at:])
		}
	}
	if rnd.IntN(2) == 0 {
		for _, at := range []int{0, pageSize} {
			if !bytes.Equal(before[at:at+pageSize], after[at:at+pageSize]) {
				copy(torn[at:], after[at:at+40])
			}
		}
	}
	return torn
}

// checkCopy opens a copy of the file, which must hold these messages.
func checkCopy(t *testing.T, file []byte, ids []queue.ID) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	o := oracle{accepted: make(map[queue.ID]bool)}
	for _, id := range ids {
		o.accepted[id] = true
	}
	o.verify(t, path)
	s := openAt(t, path, Options{Ballast: -1})
	if n := rows(t, s, messageBucket) + rows(t, s, retiredBucket); n != len(ids) {
		t.Errorf("%d messages, want %d", n, len(ids))
	}
}
