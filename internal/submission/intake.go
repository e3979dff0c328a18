package submission

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/address"
	"postrider/internal/message"
	"postrider/internal/sysexits"
	"postrider/policy"
	"postrider/queue"
)

// maxPath is the longest address taken; RFC 5321 §4.5.3.1.3 asks for 256 bytes at
// least.
const maxPath = 1024

const copySize = 32 << 10

// maxNetworkHeader is the longest header taken over the network: it is held in
// memory, for as long as the client likes. Programs of this host may name more
// recipients in it than that holds.
const maxNetworkHeader = 512 << 10

// Router tells where recipients go.
type Router interface {
	// Destination is the scheduling key of mail between the two addresses.
	Destination(from, to address.Address) string
}

// Options is what an Intake needs. Store, Router, Hostname, Origin and Logger must
// be set.
type Options struct {
	Store  queue.Store
	Router Router
	// Hostname stands in Received and Message-ID fields.
	Hostname string
	// Origin completes bare addresses.
	Origin string
	// LocalDomains are those that network clients may send to.
	LocalDomains []string
	// TrustedNetworks are those whose hosts may send to anywhere.
	TrustedNetworks []netip.Prefix
	// MaxSize of a message in bytes with LF line ends; zero for no limit.
	MaxSize int64
	// MaxRecipients of a message that comes over the network; zero for no limit.
	MaxRecipients int
	// MaxHops is the greatest number of Received fields a message may have come
	// with; 50 if zero.
	MaxHops int
	// Lifetime is when undelivered recipients are given up, BounceLifetime the same
	// for mail with the null reverse-path, and DelayNotice when the sender is told
	// of the delay, zero for never; all after arrival.
	Lifetime, BounceLifetime, DelayNotice time.Duration
	// Now is the clock; time.Now if nil.
	Now    func() time.Time
	Logger *slog.Logger
	// Senders says who may send as whom; nil: anybody as anybody.
	Senders *policy.SenderRules
	// Unknown says why nobody on this host has a local address, or nothing if somebody
	// may have it. It is asked of recipients that strangers name, so that no mail of
	// theirs is taken only to be returned to somebody who did not send it; nil: never.
	Unknown func(address.Address) (why string)
	// LookupUser finds login and full name of a uid; a uid without an entry has its
	// number for a login and no name. /etc/passwd is read if nil.
	LookupUser func(uid int) (login, fullName string)
}

// Intake takes messages in. It is safe for concurrent use.
type Intake struct {
	o       Options
	senders atomic.Pointer[policy.SenderRules]
	local   atomic.Pointer[map[string]bool] // LocalDomains as address.DomainKey has them
	// copies are buffers to copy bodies with.
	copies sync.Pool
	// buffers are those to read messages with.
	buffers message.Buffers
}

// New makes an intake.
func New(o Options) *Intake {
	if o.MaxHops == 0 {
		o.MaxHops = 50
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	in := &Intake{o: o}
	in.SetSenders(o.Senders)
	in.SetLocalDomains(o.LocalDomains)
	in.copies.New = func() any { return new([copySize]byte) }
	return in
}

// SetLocalDomains replaces the domains that network clients may send to.
func (in *Intake) SetLocalDomains(domains []string) {
	local := make(map[string]bool, len(domains))
	for _, d := range domains {
		local[address.Address{Domain: strings.TrimSuffix(d, ".")}.DomainKey()] = true
	}
	in.local.Store(&local)
}

// Origin is the domain that completes bare addresses.
func (in *Intake) Origin() string { return in.o.Origin }

// CheckRecipient says whether mail to the address would be refused, before there
// is a message, and gives it completed.
func (in *Intake) CheckRecipient(o queue.Origin, a address.Address) (address.Address, error) {
	a, err := in.permit(o, a)
	if err != nil || in.o.Unknown == nil || in.MayRelay(o) {
		return a, err
	}
	if why := in.o.Unknown(a); why != "" {
		return a, refuse(550, "5.1.1", sysexits.NoUser, "<%s>: %s", a, why)
	}
	return a, nil
}

// permit completes an address and says whether mail from there may go to it.
func (in *Intake) permit(o queue.Origin, a address.Address) (address.Address, error) {
	if a.Local == "" {
		return a, refuse(553, "5.1.3", sysexits.Usage, "recipient address is empty")
	}
	if len(a.String()) > maxPath {
		return a, refuse(553, "5.1.3", sysexits.DataErr, "recipient address is too long")
	}
	a = in.complete(a)
	if !in.MayRelay(o) && !in.isLocal(a) {
		return a, refuse(554, "5.7.1", sysexits.NoPerm, "<%s>: relay access denied", a)
	}
	return a, nil
}

// MayRelay reports whether mail from there may go anywhere: that of processes and
// clients of this host, of trusted networks, and of who has logged in.
func (in *Intake) MayRelay(o queue.Origin) bool {
	if o.Via != queue.ViaSMTP || o.User != "" {
		return true
	}
	client, err := netip.ParseAddrPort(o.Client)
	if err != nil {
		return false
	}
	ip := client.Addr().Unmap().WithZone("")
	return ip.IsLoopback() || slices.ContainsFunc(in.o.TrustedNetworks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// isLocal reports whether the address is at home here. Postmaster at our origin
// always is, since that is what a bare postmaster means (RFC 5321 §4.5.1).
func (in *Intake) isLocal(a address.Address) bool {
	return (*in.local.Load())[a.DomainKey()] ||
		strings.EqualFold(a.Local, "postmaster") && strings.EqualFold(a.Domain, in.o.Origin)
}
