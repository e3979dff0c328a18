package daemon

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/smtpd"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestGivenSockets: what the service manager hands over is not opened again, and
// offers what the configuration says of its port.
func TestGivenSockets(t *testing.T) {
	const relay, submission, submissions = smtpd.Relay, smtpd.Submission, smtpd.Submissions
	tests := []struct {
		name    string
		given   []string // names of sockets
		entries []string // with {n} for the port of the n-th socket
		want    []smtpd.Service
	}{
		{"nothing given", nil, []string{"127.0.0.1:0", "submission://127.0.0.1:0"}, []smtpd.Service{relay, submission}},
		{"by port", []string{"smtp"}, []string{"submissions://0.0.0.0:{0}", "127.0.0.1:0"}, []smtpd.Service{submissions, relay}},
		{"by name", []string{"submission", "submissions"}, nil, []smtpd.Service{submission, submissions}},
		{"on another port", []string{"smtp"}, []string{"127.0.0.1:25"}, []smtpd.Service{relay}},
		{"some given", []string{"smtp"}, []string{"127.0.0.1:{0}", "submissions://127.0.0.1:0"}, []smtpd.Service{relay, submissions}},
		{"two with one name", []string{"smtp", "smtp"}, []string{"smtp://127.0.0.1:{0}", "submission://127.0.0.1:{1}"}, []smtpd.Service{relay, submission}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &listeners{given: map[string][]net.Listener{}}
			defer l.close()
			var ports []string
			for _, name := range tt.given {
				s := listen(t)
				l.given[name] = append(l.given[name], s)
				ports = append(ports, strconv.Itoa(s.Addr().(*net.TCPAddr).Port))
			}
			c := &config.Config{Submission: config.Submission{CertificateFile: "/c.pem"}}
			for _, e := range tt.entries {
				for i, port := range ports {
					e = strings.ReplaceAll(e, fmt.Sprintf("{%d}", i), port)
				}
				c.Submission.Listen = append(c.Submission.Listen, e)
			}
			if err := l.openTCP(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			var got []smtpd.Service
			for _, d := range l.network {
				got = append(got, d.service)
			}
			if !slices.Equal(got, tt.want) || len(l.addresses()) != len(tt.want) {
				t.Errorf("doors %v at %v, want %v", got, l.addresses(), tt.want)
			}
		})
	}
}

// TestFamiliesApart: all addresses of one family leave the port free for those of the
// other.
func TestFamiliesApart(t *testing.T) {
	port := listen(t).Addr().(*net.TCPAddr).Port + 1
	free := func(network, address string) bool {
		l, err := net.Listen(network, net.JoinHostPort(address, strconv.Itoa(port)))
		if err == nil {
			l.Close()
		}
		return err == nil
	}
	for !free("tcp4", "0.0.0.0") || !free("tcp6", "::") {
		if port++; port > 65000 {
			t.Skip("no port is free in both families")
		}
	}
	l := &listeners{}
	defer l.close()
	all := []string{fmt.Sprintf("0.0.0.0:%d", port), fmt.Sprintf("[::]:%d", port)}
	if err := l.openTCP(t.Context(), &config.Config{Submission: config.Submission{Listen: all}}); err != nil {
		t.Fatal(err)
	}
	for i, d := range l.network {
		if d.Addr().String() != all[i] {
			t.Errorf("%s listens on %s", all[i], d.Addr())
		}
	}
}

func TestGivenSubmissionWithoutCertificate(t *testing.T) {
	l := &listeners{given: map[string][]net.Listener{"submission": {listen(t)}}}
	defer l.close()
	if err := l.openTCP(t.Context(), &config.Config{}); !errors.As(err, new(*ConfigError)) {
		t.Errorf("got %v", err)
	}
}
