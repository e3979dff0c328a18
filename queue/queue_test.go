package queue_test

import (
	"encoding/json"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

func TestParseID(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want queue.ID // zero for an error
	}{
		{"000000000001", 1}, {"FFFFFFFFFFFF", queue.MaxID}, {"0123456789ab", 0x0123456789AB}, {"0123456789AB", 0x0123456789AB},
		{"000000000000", 0}, {"", 0}, {"1", 0}, {"0000000000001", 0}, {"+00000000001", 0}, {"00000000000G", 0}, {"0x0000000001", 0},
		{" 00000000001", 0}, {"0000_0000001", 0}, {"00000000001é", 0},
	} {
		got, err := queue.ParseID(tt.in)
		if got != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("ParseID(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
		var j queue.ID
		if err := json.Unmarshal([]byte(`"`+tt.in+`"`), &j); j != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("from JSON %q: %v, %v; want %v", tt.in, j, err, tt.want)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0123456789AB")
	f.Add("zz")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := queue.ParseID(s)
		if err != nil {
			return
		}
		if again, err := queue.ParseID(id.String()); err != nil || again != id || id == 0 || id > queue.MaxID {
			t.Errorf("%q is %v, which is %v, %v", s, id, again, err)
		}
	})
}

func TestStateNames(t *testing.T) {
	for name, state := range map[string]queue.State{
		"queued": queue.Queued, "active": queue.Active, "deferred": queue.Deferred, "held": queue.Held, "done": queue.Done,
	} {
		if got := state.String(); got != name {
			t.Errorf("%d prints %q, want %q", state, got, name)
		}
		if got, ok := queue.ParseState(name); !ok || got != state {
			t.Errorf("ParseState(%q) = %v, %v", name, got, ok)
		}
	}
	for _, bad := range []string{"", "Queued", "invalid", "queued "} {
		if got, ok := queue.ParseState(bad); ok {
			t.Errorf("ParseState(%q) = %v", bad, got)
		}
	}
	for _, bad := range []queue.State{0, queue.Done + 1, 255} {
		if bad.String() != "invalid" {
			t.Errorf("%d prints %q", uint8(bad), bad)
		}
	}
}

func TestResults(t *testing.T) {
	for result, tt := range map[queue.Result]struct {
		name  string
		ended bool
	}{
		queue.Pending: {"pending", false}, queue.Temporary: {"deferred", false}, queue.Delivered: {"delivered", true},
		queue.Relayed: {"relayed", true}, queue.Failed: {"failed", true}, queue.Removed: {"deleted", true}, 99: {"invalid", true},
	} {
		if result.String() != tt.name || result.Ended() != tt.ended {
			t.Errorf("%d is %q, ended %v; want %q, %v", uint8(result), result, result.Ended(), tt.name, tt.ended)
		}
	}
}

func TestNotify(t *testing.T) {
	for n, want := range map[queue.Notify][3]bool{ // failure, delay, success
		0:                                       {true, true, false},
		queue.NotifyNever:                       {},
		queue.NotifySuccess:                     {false, false, true},
		queue.NotifyFailure:                     {true, false, false},
		queue.NotifyDelay | queue.NotifySuccess: {false, true, true},
		queue.NotifyDelay | queue.NotifyFailure: {true, true, false},
		queue.NotifySuccess | queue.NotifyFailure: {true, false, true},
	} {
		if got := [3]bool{n.OnFailure(), n.OnDelay(), n.OnSuccess()}; got != want {
			t.Errorf("%b: %v, want %v", n, got, want)
		}
	}
}

func TestWake(t *testing.T) {
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	for _, tt := range []struct{ due, suspended, want time.Time }{
		{},
		{due: early, want: early},
		{suspended: late},
		{early, late, late},
		{late, early, late},
		{late, late, late},
	} {
		if got := (queue.Destination{Due: tt.due, Suspended: tt.suspended}).Wake(); !got.Equal(tt.want) {
			t.Errorf("due %v, suspended %v: wakes %v, want %v", tt.due, tt.suspended, got, tt.want)
		}
	}
}

// entry is what TestFilter looks at.
func entry() *queue.Entry {
	return &queue.Entry{
		Message: &queue.Message{
			ID:       0xABC,
			Envelope: queue.Envelope{ReversePath: address.Address{Local: "Anna", Domain: "Example.com"}},
			Recipients: []queue.Recipient{
				{Address: address.Address{Local: "bert", Domain: "example.net"}},
				{Address: address.Address{Local: "a b", Domain: "example.org"}},
			},
			Origin:    queue.Origin{UID: 0},
			MessageID: "<1@x>",
			Arrival:   time.Unix(1000, 0),
		},
		Deliveries: []queue.Delivery{{State: queue.Deferred}, {State: queue.Done}},
	}
}

func TestFilter(t *testing.T) {
	root, other := 0, 1000
	for name, tt := range map[string]struct {
		filter queue.Filter
		want   bool
	}{
		"zero":                  {queue.Filter{}, true},
		"ID":                    {queue.Filter{IDs: []queue.ID{1, 0xABC}}, true},
		"other ID":              {queue.Filter{IDs: []queue.ID{1}}, false},
		"sender":                {queue.Filter{Sender: "anna@example.COM"}, true},
		"part of sender":        {queue.Filter{Sender: "anna"}, false},
		"sender's domain":       {queue.Filter{Sender: "@example.com"}, true},
		"end of the domain":     {queue.Filter{Sender: "@ample.com"}, false},
		"null sender":           {queue.Filter{Sender: "<>"}, false},
		"recipient":             {queue.Filter{Recipient: "BERT@example.net"}, true},
		"second recipient":      {queue.Filter{Recipient: `"a b"@example.org`}, true},
		"other recipient":       {queue.Filter{Recipient: "bert@example.org"}, false},
		"domain":                {queue.Filter{Domain: "EXAMPLE.org"}, true},
		"other domain":          {queue.Filter{Domain: "example.com"}, false},
		"state":                 {queue.Filter{State: queue.Done}, true},
		"other state":           {queue.Filter{State: queue.Queued}, false},
		"before":                {queue.Filter{Before: time.Unix(1001, 0)}, true},
		"before, same":          {queue.Filter{Before: time.Unix(1000, 0)}, false},
		"after":                 {queue.Filter{After: time.Unix(999, 0)}, true},
		"after, same":           {queue.Filter{After: time.Unix(1000, 0)}, false},
		"uid zero":              {queue.Filter{UID: &root}, true},
		"other uid":             {queue.Filter{UID: &other}, false},
		"message id":            {queue.Filter{MessageID: "<1@x>"}, true},
		"message id, bare":      {queue.Filter{MessageID: "1@x"}, true},
		"other message id":      {queue.Filter{MessageID: "1@xy"}, false},
		"ID contains":           {queue.Filter{IDContains: "abc"}, true},
		"ID lacks":              {queue.Filter{IDContains: "abd"}, false},
		"recipient contains":    {queue.Filter{RecipientContains: "EXAMPLE.O"}, true},
		"recipient lacks":       {queue.Filter{RecipientContains: "anna"}, false},
		"sender contains":       {queue.Filter{SenderContains: "NA@ex"}, true},
		"sender lacks":          {queue.Filter{SenderContains: "bert"}, false},
		"not ID contains":       {queue.Filter{IDContains: "abc", Not: true}, false},
		"not ID lacks":          {queue.Filter{IDContains: "abd", Not: true}, true},
		"not, one of two":       {queue.Filter{IDContains: "abc", SenderContains: "bert", Not: true}, true},
		"not alone":             {queue.Filter{Not: true}, true},
		"not leaves the others": {queue.Filter{IDContains: "abd", Not: true, Domain: "example.com"}, false},
		"all that hold":         {queue.Filter{UID: &root, Domain: "example.org", State: queue.Deferred, Sender: "@example.com"}, true},
		"one that does not":     {queue.Filter{UID: &root, Domain: "example.org", State: queue.Held, Sender: "@example.com"}, false},
	} {
		if got := tt.filter.Match(entry()); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	report := entry()
	report.Message.Envelope.ReversePath = address.Address{}
	for sender, want := range map[string]bool{"<>": true, "@example.com": false, "anna@example.com": false} {
		if got := (queue.Filter{Sender: sender}).Match(report); got != want {
			t.Errorf("null sender and %q: %v, want %v", sender, got, want)
		}
	}
	report.Message.Recipients = nil
	if !(queue.Filter{IDContains: "abc"}).Match(report) {
		t.Error("an entry without recipients does not match by its ID")
	}
}
