package command

import (
	"encoding/json"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/address"
)

// lookupPatience bounds how long "route" waits for the DNS in all.
const lookupPatience = 20 * time.Second

// routeReport is what "route" says. With --json its names are an interface.
type routeReport struct {
	Address string `json:"address"`
	// From is the reverse-path that mail would have in the queue, and GivenFrom the
	// one given for it, if a sender rule forces another. HeaderFrom is the address
	// that a rule forces upon the From field.
	From       string `json:"from"`
	GivenFrom  string `json:"given_from,omitempty"`
	HeaderFrom string `json:"header_from,omitempty"`
	// RewrittenFrom is what From is masqueraded as where mail leaves this host.
	RewrittenFrom string      `json:"rewritten_from,omitempty"`
	Steps         []string    `json:"steps"`
	Leaves        []routeLeaf `json:"leaves"`
	Error         string      `json:"error,omitempty"`
}

// routeLeaf is one recipient that the address comes to.
type routeLeaf struct {
	Address string `json:"address"`
	// From is the reverse-path that whoever takes the mail is told.
	From string `json:"from"`
	// Target is where on this host it goes: "mbox:/var/mail/bob", "file:PATH" or
	// "command:LINE"; empty for other hosts.
	Target string `json:"target,omitempty"`
	// User is the one on whose behalf a file is written or a command run.
	User string   `json:"user,omitempty"`
	Via  []string `json:"via"`
	// Route is "local", "relay" or "direct", Destination the queue of such mail.
	Route       string           `json:"route,omitempty"`
	Destination string           `json:"destination,omitempty"`
	Smarthosts  []routeSmarthost `json:"smarthosts"`
	Hosts       []routeHost      `json:"hosts"`
	// TLS is what the first hosts must offer, in the words of the configuration,
	// and Reason the key that says so or why it goes this way.
	TLS    string `json:"tls,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Outcome is "deferred" or "bounced" where delivery would not succeed, Error why.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`

	unknown bool // there is no such user
	hops    []hop
}

type routeSmarthost struct {
	Address  string `json:"address"`
	TLS      string `json:"tls"`
	Username string `json:"username,omitempty"`
	Rule     string `json:"rule"`
}

type routeHost struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Port      uint16   `json:"port"`
	Error     string   `json:"error,omitempty"`
}

// What becomes of mail that cannot be delivered now.
const (
	deferred = "deferred"
	bounced  = "bounced"
)

func (a *app) routeCommand() *cobra.Command {
	var from string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "route ADDRESS", Short: "Say where mail to an address would go now, and why", Args: cobra.ExactArgs(1),
		Long: "Say where mail to an address would go now, and why: who it would be from, which\n" +
			"aliases and forwards it would follow, which way it would leave and to which\n" +
			"hosts. The DNS is asked, no mail host is, and nothing is sent.",
		Example: "  postrider route --from alice@example.com info@example.net",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			t := &routeTracer{cfg: c, uid: os.Getuid()}
			if cmd.Flags().Changed("from") {
				t.given = &from
			}
			report, err := t.trace(cmd.Context(), args[0])
			if err != nil {
				report.Error = err.Error()
			}
			if writeErr := a.writeRoute(report, asJSON); writeErr != nil {
				return writeErr
			}
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "reverse-path `address`, <> for bounces (default: yours)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

func (a *app) writeRoute(r *routeReport, asJSON bool) error {
	if !asJSON {
		return r.write(a.stdout)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// reversePath writes it, the null one visibly.
func reversePath(a address.Address) string {
	if a.IsNull() {
		return "<>"
	}
	return a.String()
}
