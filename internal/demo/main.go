// Command demo shows the whole way of a message on this machine alone: the real
// sendmail, the real daemon with its spool, DNS with MX records, mail servers with
// STARTTLS, one that grey-lists, one that refuses a recipient, and a mailbox that
// gets the bounce. It needs no privilege, changes nothing outside a temporary
// directory, and exits 0 only if everything went as it should.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "directory of the built programs")
	keep := flag.Bool("keep", false, "leave the temporary directory behind")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := run(ctx, *bin, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, keep bool) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "postrider-demo")
	if err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	world, err := newWorld()
	if err != nil {
		return err
	}
	defer world.close()
	s := &stage{ctx: ctx, bin: bin, dir: dir, world: world, log: new(output)}
	defer s.stopDaemon(syscall.SIGKILL)
	for _, step := range []func() error{s.configure, s.firstMail, s.greyListed, s.bounced, s.daemonDown, s.end} {
		if err := step(); err != nil {
			return fmt.Errorf("%w\n--- the daemon's log:\n%s", err, s.log.String())
		}
	}
	return nil
}

// stage is what the steps share.
type stage struct {
	ctx    context.Context
	bin    string
	dir    string
	world  *world
	daemon *exec.Cmd
	log    *output
}

// output collects what the daemon logs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (s *stage) say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

func (s *stage) configure() error {
	s.say("A host with five lines of configuration (DNS and ports are those of this demo)")
	text := fmt.Sprintf(`hostname = "host.demo.test"
spool = %q
run_dir = %q
submission.listen = ["127.0.0.1:0"]
dns.servers = [%q]
delivery.port = %d
retry = { first = "2s", max = "4s" }
local.mailbox = "mbox:%s/{user}"
`, s.path("spool"), s.path("run"), s.world.dns.Addr, s.world.port, s.path("mail"))
	fmt.Print(text)
	if err := os.Mkdir(s.path("mail"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("postrider.toml"), []byte(text), 0o644); err != nil {
		return err
	}
	return s.startDaemon()
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) startDaemon() error {
	s.daemon = s.command("postrider", "daemon")
	s.daemon.Stderr = s.log
	if err := s.daemon.Start(); err != nil {
		return err
	}
	return s.until("the daemon takes mail", func() bool {
		_, err := os.Stat(s.path("run/submit.sock"))
		return err == nil && strings.Contains(s.log.String(), "msg=ready")
	})
}

func (s *stage) stopDaemon(sig syscall.Signal) error {
	if s.daemon == nil {
		return nil
	}
	s.daemon.Process.Signal(sig)
	err := s.daemon.Wait()
	s.daemon = nil
	return err
}

func (s *stage) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, filepath.Join(s.bin, program), args...)
	cmd.Env = append(os.Environ(), "POSTRIDER_CONFIG="+s.path("postrider.toml"))
	return cmd
}

// show runs a program, prints the command and what it says.
func (s *stage) show(stdin, program string, args ...string) (string, error) {
	fmt.Printf("$ %s %s\n", program, strings.Join(args, " "))
	cmd := s.command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	os.Stdout.Write(out)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return string(out), nil
}

func (s *stage) until(what string, done func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("waited in vain until %s", what)
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
	return nil
}

func (s *stage) firstMail() error {
	s.say("A program hands one message for three recipients to sendmail")
	const text = "From: Demo <%s>\nTo: alice@good.test, bob@grey.test, nobody@refuse.test\nSubject: hello\n\nHello from the demo.\n"
	if _, err := s.show(strings.Replace(text, "<%s>", "<"+s.me()+">", 1), "sendmail", "-t", "-i"); err != nil {
		return err
	}
	if err := s.until("alice has it", func() bool { return s.world.good.Count() == 1 }); err != nil {
		return err
	}
	m := s.world.good.Messages()[0]
	s.say("mx.good.test, found by MX, got it (TLS: %v)", m.TLS)
	os.Stdout.Write(m.Data)
	if !m.TLS {
		return fmt.Errorf("the message went in the clear although STARTTLS was offered")
	}
	return nil
}

func (s *stage) greyListed() error {
	s.say("mx.grey.test said \"451 4.7.1 grey-listed\" at first; the message waits and is tried again")
	if _, err := s.show("", "sendmail", "-bp"); err != nil {
		return err
	}
	if err := s.until("bob has it", func() bool { return s.world.grey.Count() == 1 }); err != nil {
		return err
	}
	fmt.Println("delivered at the second attempt")
	return nil
}

func (s *stage) bounced() error {
	s.say("mx.refuse.test refused nobody@refuse.test for good: the sender's mailbox gets a bounce")
	var text []byte
	if err := s.until("the bounce is in the mailbox", func() bool {
		files, _ := filepath.Glob(s.path("mail/*"))
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("Final-Recipient")) {
				text = b
			}
		}
		return text != nil
	}); err != nil {
		return err
	}
	os.Stdout.Write(text)
	if !bytes.Contains(text, []byte("550 5.1.1")) {
		return fmt.Errorf("the bounce does not quote the reply")
	}
	return s.until("the queue is empty", s.queueIsEmpty)
}

func (s *stage) queueIsEmpty() bool {
	out, err := s.command("postrider", "queue", "list", "--json").Output()
	return err == nil && len(out) == 0
}

func (s *stage) daemonDown() error {
	s.say("kill -9 of the daemon; sendmail still takes mail")
	if err := s.stopDaemon(syscall.SIGKILL); err == nil {
		return fmt.Errorf("the daemon survived kill -9")
	}
	s.log = new(output)
	if _, err := s.show("Subject: while you were out\n\nStill here.\n", "sendmail", "-i", "alice@good.test"); err != nil {
		return err
	}
	fmt.Println("exit 0: it is on disk. The daemon starts again and delivers it.")
	if err := s.startDaemon(); err != nil {
		return err
	}
	if err := s.until("alice has it", func() bool { return s.world.good.Count() == 2 }); err != nil {
		return err
	}
	return s.until("the queue is empty", s.queueIsEmpty)
}

func (s *stage) end() error {
	s.say("SIGTERM: the daemon stops in order")
	if err := s.stopDaemon(syscall.SIGTERM); err != nil {
		return fmt.Errorf("the daemon did not stop in order: %w", err)
	}
	if _, err := s.show("", "sendmail", "-bp"); err != nil {
		return err
	}
	s.say("Done: delivered over TLS, delivered after grey-listing, bounced, and nothing lost.")
	return nil
}
