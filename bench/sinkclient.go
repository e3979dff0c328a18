package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"
)

// sink is the sink process as the benchmark sees it.
type sink struct {
	address string // for mail
	process *exec.Cmd
	stdin   io.Closer
	control net.Conn
	answers *bufio.Reader
}

func startSink(ctx context.Context, self string) (*sink, error) {
	s := &sink{process: exec.CommandContext(ctx, self, "sink")}
	s.process.Stderr = os.Stderr
	stdin, err := s.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	s.stdin = stdin
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	var control string
	if _, err := fmt.Fscan(stdout, &s.address, &control); err != nil {
		return nil, fmt.Errorf("read its addresses: %w", err)
	}
	if s.control, err = net.Dial("tcp", control); err != nil {
		return nil, err
	}
	s.answers = bufio.NewReader(s.control)
	return s, nil
}

func (s *sink) ask(question string) (string, error) {
	if _, err := io.WriteString(s.control, question+"\n"); err != nil {
		return "", fmt.Errorf("ask the sink: %w", err)
	}
	answer, err := s.answers.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("ask the sink: %w", err)
	}
	return answer, nil
}

func (s *sink) reset() error {
	_, err := s.ask("reset")
	return err
}

// setDown has the sink turn everybody away, or take mail again.
func (s *sink) setDown(down bool) error {
	word := "up"
	if down {
		word = "down"
	}
	_, err := s.ask(word)
	return err
}

// arrival tells when the last of the messages waited for came in.
type arrival struct {
	at             time.Time
	sessions, most int
}

// wait waits until n messages have come since the reset; that they do not within
// the patience is an error.
func (s *sink) wait(n int, patience time.Duration) (arrival, error) {
	answer, err := s.ask(fmt.Sprintf("wait %d %d", n, patience.Milliseconds()))
	if err != nil {
		return arrival{}, err
	}
	var count int
	var at int64
	var a arrival
	if _, err := fmt.Sscan(answer, &count, &at, &a.sessions, &a.most); err != nil {
		return arrival{}, fmt.Errorf("the sink's answer %q: %w", answer, err)
	}
	if count < n {
		return arrival{}, fmt.Errorf("only %d of %d messages reached the sink in %v", count, n, patience)
	}
	a.at = time.Unix(0, at)
	return a, nil
}

func (s *sink) close() {
	if s.control != nil {
		s.control.Close()
	}
	s.stdin.Close()
	s.process.Wait()
}
