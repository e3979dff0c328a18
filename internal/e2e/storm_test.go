package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	smtpd "github.com/emersion/go-smtp"

	"postrider/internal/smtptest"
	"postrider/queue/boltstore"
)

// TestKill kills the daemon at random moments under load. Afterwards
//
//   - every message whose submitter was told that it is taken has been delivered, or
//     its sender has a report: nothing is left in the queue that could hide a loss;
//   - no message was delivered twice by one life of the daemon: whatever came again
//     was past the dot when the daemon died;
//   - what was repeated because of one kill is no more than there can have been
//     sessions past the dot at that moment. The bound used is max_connections, for
//     an attempt keeps its slot until its outcome is on disk;
//   - all copies of a message have one queue id, so that none came of a submission
//     that was taken twice;
//   - the database is sound.
//
// Each life of the daemon has a host name of its own, by which the mail servers
// tell which life a copy came from.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	newStorm(t).rage(rounds, syscall.SIGKILL, stormConnections)
}

// TestTerminate is TestKill with SIGTERM: then nothing is delivered twice at all.
func TestTerminate(t *testing.T) {
	t.Parallel()
	rounds := 15
	if testing.Short() {
		rounds = 4
	}
	newStorm(t).rage(rounds, syscall.SIGTERM, 0)
}

// stormConnections is the greatest number of deliveries under way at once.
const stormConnections = 12

// storm is a daemon under load that is ended and started again.
type storm struct {
	*host
	listen  string // where it takes mail over TCP
	chance  *rand.Rand
	servers map[string]*smtptest.Sink // by domain
	reports *smtptest.Sink

	mu     sync.Mutex
	last   int // token given out
	grey   map[string]bool
	acked  map[string][]string // recipients by token, of messages that were taken
	nacked int                 // messages that nobody promised anything about
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("E2E_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("E2E_SEED=%d", seed)
	s := &storm{
		chance: rand.New(rand.NewPCG(seed, 0)), grey: map[string]bool{}, acked: map[string][]string{},
		host: newHost(t, settings{
			"retry.first": quoted("100ms"), "retry.max": quoted("400ms"),
			"delivery.max_connections": strconv.Itoa(stormConnections), "delivery.max_connections_per_destination": strconv.Itoa(stormConnections / 2),
		}),
	}
	s.tail = 1000
	s.listen = s.net.address().String()
	s.settings["submission.listen"] = "[" + quoted(s.listen) + "]"
	s.configure()
	s.reports = s.net.sink("sender.test", smtptest.Options{})
	s.servers = map[string]*smtptest.Sink{
		"good.test": s.net.sink("good.test", smtptest.Options{}),
		"grey.test": s.net.sink("grey.test", smtptest.Options{OnRcpt: s.greylist}),
		"bad.test":  s.net.refusing("bad.test"),
	}
	return s
}

// greylist puts every recipient off once.
func (s *storm) greylist(_ *smtptest.Message, to string, _ int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grey[to] {
		return nil
	}
	s.grey[to] = true
	return &smtpd.SMTPError{Code: 451, EnhancedCode: smtpd.EnhancedCode{4, 7, 1}, Message: "come again"}
}

// rage ends the daemon so many times by the signal, and judges.
func (s *storm) rage(rounds int, how syscall.Signal, bound int) {
	s.launchLife(0).ready()
	s.proc.stop()
	ctx, calm := context.WithCancel(s.t.Context())
	var submitters sync.WaitGroup
	users := []int{me, me}
	if me == 0 {
		users = []int{0, daemon, alice, bob}
	}
	for i, uid := range users {
		submitters.Go(func() { s.submit(ctx, 90*time.Millisecond, i, func(m message) bool { return s.bySendmail(uid, m) }) })
	}
	for i := range 3 {
		submitters.Go(func() { s.submit(ctx, 60*time.Millisecond, len(users)+i, s.byTCP) })
	}
	for life := 1; life <= rounds && !s.t.Failed(); life++ {
		p := s.launchLife(life)
		s.live(p)
		p.signal(how)
		if p.exit(patience); how == syscall.SIGTERM && p.cmd.ProcessState.ExitCode() > 0 {
			s.t.Errorf("life %d ended with %v: %s", life, p.cmd.ProcessState, tail(p.log.String(), tailSize))
		}
	}
	calm()
	submitters.Wait()
	s.launchLife(rounds + 1).ready()
	if me == 0 {
		s.maildropIsEmpty()
	}
	s.emptied()
	s.proc.stop()
	s.judge(rounds, bound)
	s.check()
}

// live lets the daemon live for a while: to where it begins, to where it takes over
// what was left in the maildrop, or on into its days of work.
func (s *storm) live(p *process) {
	s.mu.Lock()
	stage, part := s.chance.IntN(4), time.Duration(s.chance.IntN(1000))
	s.mu.Unlock()
	life := part * 600 * time.Microsecond
	switch stage {
	case 0:
		life = part * 100 * time.Microsecond
	case 1:
		p.ready()
		life = part * 15 * time.Microsecond
	default:
		p.ready()
	}
	select {
	case <-time.After(life):
	case <-p.done:
		s.t.Errorf("the daemon ended by itself with %v: %s", p.cmd.ProcessState, tail(p.log.String(), tailSize))
	}
}

func (s *storm) launchLife(n int) *process {
	cmd := s.command(s.user, "postrider", "daemon")
	cmd.Env = append(cmd.Env, fmt.Sprintf("POSTRIDER_HOSTNAME=%s", lifeName(n)))
	return s.launch(cmd)
}

func lifeName(n int) string { return fmt.Sprintf("life-%d.e2e.test", n) }

// message is one message of the storm.
type message struct {
	token string
	to    []string
}

func (m message) text() string {
	return "From: sender@sender.test\r\nSubject: " + m.token + "\r\n\r\nBlown by the storm.\r\n"
}

// submit hands in one message after another.
func (s *storm) submit(ctx context.Context, pause time.Duration, n int, hand func(message) bool) {
	tick := time.NewTicker(pause + time.Duration(n)*time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		m := s.compose()
		taken := hand(m)
		s.mu.Lock()
		if taken {
			s.acked[m.token] = m.to
		} else {
			s.nacked++
		}
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// compose makes a message for one recipient, or for one of each kind.
func (s *storm) compose() message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	m := message{token: fmt.Sprintf("storm-%06d", s.last)}
	kinds := []string{"good.test", "grey.test", "bad.test"}
	switch n := s.chance.IntN(20); {
	case n < 11:
		kinds = kinds[:1]
	case n < 15:
		kinds = kinds[1:2]
	case n < 18:
		kinds = kinds[2:]
	}
	for _, domain := range kinds {
		m.to = append(m.to, m.token+"@"+domain)
	}
	return m
}

// bySendmail hands a message in as a user. It must be taken, whatever the daemon is
// going through.
func (s *storm) bySendmail(uid int, m message) bool {
	cmd := s.command(uid, "sendmail", append([]string{"-i", "-f", "sender@sender.test"}, m.to...)...)
	cmd.Stdin = strings.NewReader(m.text())
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case s.t.Context().Err() != nil:
		return false
	case errors.As(err, &exit), err != nil:
		s.t.Errorf("uid %d: sendmail of %s: %v: %s", uid, m.token, err, said.String())
		return false
	}
	return true
}

// byTCP hands a message in over the network, where the client has to cope with a
// server that is not there.
func (s *storm) byTCP(m message) bool {
	conn, err := net.Dial("tcp", s.listen)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	c, err := smtp.NewClient(conn, "client.test")
	if err != nil || c.Mail("sender@sender.test") != nil {
		return false
	}
	for _, to := range m.to {
		if c.Rcpt(to) != nil {
			return false
		}
	}
	w, err := c.Data()
	if err != nil {
		return false
	}
	if _, err := w.Write([]byte(m.text())); err != nil {
		return false
	}
	return w.Close() == nil // the reply to the final dot is 250
}

// parcel names what a recipient gets: a message, or a report about one.
type parcel struct{ token, to string }

// arrivals are the copies of a parcel.
type arrivals struct {
	lives []string // that sent them, in order
	ids   map[string]bool
}

var (
	tokenIn = regexp.MustCompile(`Subject: (storm-\d{6})\r\n`)
	queueID = regexp.MustCompile(`[ \t]id ([0-9A-F]{12})[;\r\n]`)
)

// arrived sorts what the servers got.
func (s *storm) arrived() map[parcel]*arrivals {
	all := map[parcel]*arrivals{}
	add := func(to string, m smtptest.Message) {
		token, id := tokenIn.FindSubmatch(m.Data), queueID.FindSubmatch(m.Data)
		if token == nil || id == nil {
			s.t.Errorf("%s got something else:\n%s", to, m.Data)
			return
		}
		p := parcel{string(token[1]), to}
		if all[p] == nil {
			all[p] = &arrivals{ids: map[string]bool{}}
		}
		all[p].lives = append(all[p].lives, m.Hello)
		all[p].ids[string(id[1])] = true
	}
	for _, server := range s.servers {
		for _, m := range server.Messages() {
			for _, to := range m.To {
				add(to.Address, m)
			}
		}
	}
	for _, m := range s.reports.Messages() {
		add("sender@sender.test", m)
	}
	return all
}

func (s *storm) judge(rounds, bound int) {
	all := s.arrived()
	for token, recipients := range s.acked {
		for _, to := range recipients {
			if strings.HasSuffix(to, "@bad.test") {
				to = "sender@sender.test"
			}
			if all[parcel{token, to}] == nil {
				s.t.Errorf("%s was taken and is lost: %s did not get it", token, to)
			}
		}
	}
	repeats := map[string]int{}
	for p, a := range all {
		if strings.HasSuffix(p.to, "@bad.test") {
			s.t.Errorf("%s was delivered to %s, who refuses everything", p.token, p.to)
		}
		if len(a.ids) != 1 {
			s.t.Errorf("%s came to %s under several queue ids: %v", p.token, p.to, slices.Collect(maps.Keys(a.ids)))
		}
		for i, life := range a.lives[:len(a.lives)-1] {
			if slices.Contains(a.lives[i+1:], life) {
				s.t.Errorf("%s was delivered to %s twice by %s", p.token, p.to, life)
			}
			repeats[life]++
		}
	}
	total := 0
	for life, n := range repeats {
		if total += n; n > bound {
			s.t.Errorf("%d messages were repeated after the end of %s, there were at most %d sessions past the dot", n, life, bound)
		}
	}
	s.t.Logf("%d messages taken, %d not; %d parcels arrived, %d of them again after %d ends", len(s.acked), s.nacked, len(all), total, rounds)
	if len(s.acked) < 3*rounds {
		s.t.Errorf("only %d messages were taken: that is no storm", len(s.acked))
	}
}

// check verifies the database.
func (s *storm) check() {
	store, err := boltstore.Open(s.path("spool/queue.db"), boltstore.Options{Ballast: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	if err := store.Check(s.t.Context()); err != nil {
		s.t.Error(err)
	}
}
