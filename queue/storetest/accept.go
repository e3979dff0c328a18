package storetest

import (
	"io"
	"slices"
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

func acceptTests() []test {
	return []test{
		{"a committed message survives a restart as it was", acceptDurable},
		{"bodies of every size come back", acceptSizes},
		{"recipients of one destination are one delivery", acceptGroups},
		{"identifiers rise and are not used twice", acceptOrder},
		{"an uncommitted draft leaves nothing", acceptAborted},
		{"a draft ends with Commit", acceptEnds},
		{"a submission id is accepted once for each uid", acceptRepeated},
		{"a submission id is remembered until Forget", acceptRemembered},
		{"a message without recipients or with other destinations is refused", acceptRefused},
		{"large drafts do not disturb each other", acceptInterleaved},
	}
}

// full is a message with every field set.
func full(f *fixture) *queue.Message {
	zone := time.FixedZone("elsewhere", 3*3600)
	return &queue.Message{
		Envelope: queue.Envelope{
			ReversePath: address.Address{Local: "Jürgen", Domain: "example.com"}, EnvID: "env+id", Ret: queue.RetFull,
			Body: queue.Body8BitMIME, SMTPUTF8: true, RequireTLS: true,
		},
		Recipients: []queue.Recipient{
			{Address: address.Address{Local: "a b", Domain: "EXAMPLE.net"}, Original: "rfc822;x@y", Notify: queue.NotifySuccess | queue.NotifyDelay},
			{Address: address.Address{Local: "c", Domain: "example.org"}, Notify: queue.NotifyNever},
		},
		Origin:    queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, PID: 7, Command: "c", Client: "192.0.2.1:25", Hello: "h", User: "u"},
		Kind:      queue.PostmasterCopy,
		MessageID: "<m@example.com>",
		Arrival:   f.now.In(zone), Expires: f.now.Add(time.Nanosecond), NoticeAt: f.now.Add(2 * time.Nanosecond),
		SubmissionID: "sid", Reports: 99,
	}
}

func acceptDurable(f *fixture) {
	m := full(f)
	id := f.commit(m, "x", "one", "two")
	f.same("ID set", m.ID, id)
	f.same("Size set", m.Size, int64(1))
	want := *m
	want.Arrival = m.Arrival.UTC()
	f.restart()
	e := f.get(id)
	f.same("message", *e.Message, want)
	f.same("deliveries", e.Deliveries, []queue.Delivery{
		{Key: queue.DeliveryKey{Message: id}, Destination: "one", State: queue.Queued, Due: f.now, Recipients: []queue.DeliveryRecipient{{Index: 0}}},
		{Key: queue.DeliveryKey{Message: id, N: 1}, Destination: "two", State: queue.Queued, Due: f.now, Recipients: []queue.DeliveryRecipient{{Index: 1}}},
	})
}

func acceptSizes(f *fixture) {
	bodies := make(map[queue.ID]string)
	for _, size := range []int{0, 1, 2048, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20, 1<<20 + 1, 3<<20 + 77} {
		b := pattern(size)
		bodies[f.commit(f.message("s", "d"), b, "d")] = b
	}
	f.restart()
	for id, b := range bodies {
		if got := f.body(id); string(got) != b {
			f.Errorf("body of %d bytes came back as %d others", len(b), len(got))
		}
		f.same("size", f.get(id).Message.Size, int64(len(b)))
	}
}

func acceptGroups(f *fixture) {
	id := f.commit(f.message("s", "a", "b", "a", "c", "b"), "x", "a", "b", "a", "c", "b")
	var got [][]int
	for _, d := range f.get(id).Deliveries {
		var indexes []int
		for _, r := range d.Recipients {
			indexes = append(indexes, r.Index)
		}
		got = append(got, indexes)
	}
	f.same("recipients by delivery", got, [][]int{{0, 2}, {1, 4}, {3}})
}

func acceptOrder(f *fixture) {
	var last queue.ID
	for range 3 {
		for range 20 {
			d, err := f.Store.Create(f.ctx())
			f.must(err)
			id, err := d.Commit(f.ctx(), f.message("s", "d"), []string{"d"})
			f.must(err)
			if id <= last || id != d.ID() || id > queue.MaxID {
				f.Fatalf("ID %s after %s, draft said %s", id, last, d.ID())
			}
			last = id
		}
		f.restart()
	}
}

func acceptAborted(f *fixture) {
	for _, size := range []int{10, 3 << 20} {
		d, err := f.Store.Create(f.ctx())
		f.must(err)
		_, err = io.WriteString(d, pattern(size))
		f.must(err)
		f.must(d.Abort())
		f.must(d.Abort())
		_, err = f.Store.Get(f.ctx(), d.ID())
		f.want(err, queue.ErrNotFound)
	}
	left, err := f.Store.Create(f.ctx())
	f.must(err)
	_, err = io.WriteString(left, pattern(3<<20))
	f.must(err)
	f.restart()
	st, err := f.Store.Stats(f.ctx())
	f.must(err)
	f.same("stored", [3]int64{int64(st.Messages), int64(st.Deliveries), st.Bytes}, [3]int64{})
}

func acceptEnds(f *fixture) {
	d, err := f.Store.Create(f.ctx())
	f.must(err)
	id, err := d.Commit(f.ctx(), f.message("s", "d"), []string{"d"})
	f.must(err)
	f.must(d.Abort())
	f.get(id)
	if _, err := d.Write([]byte("x")); err == nil {
		f.Error("Write after Commit succeeded")
	}
	if _, err := d.Commit(f.ctx(), f.message("s", "d"), []string{"d"}); err == nil {
		f.Error("second Commit succeeded")
	}
}

// submit commits a message with a submission id.
func submit(f *fixture, uid int, sid string, size int) queue.ID {
	f.Helper()
	m := f.message("s", "d")
	m.Origin.UID, m.SubmissionID = uid, sid
	return f.commit(m, pattern(size), "d")
}

func acceptRepeated(f *fixture) {
	first := submit(f, 1000, "abc", 10)
	for range 2 {
		f.same("same uid", submit(f, 1000, "abc", 10), first)
		f.same("same uid, large", submit(f, 1000, "abc", 3<<20), first)
		f.restart()
	}
	if submit(f, 1001, "abc", 10) == first || submit(f, 1000, "abd", 10) == first {
		f.Error("another uid or submission id was taken for a repetition")
	}
	st, err := f.Store.Stats(f.ctx())
	f.must(err)
	f.same("messages", st.Messages, 3)
}

func acceptRemembered(f *fixture) {
	first := submit(f, 1000, "abc", 10)
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(delivered(0))))
	f.same("after the end", submit(f, 1000, "abc", 10), first)
	_, err := f.Store.Forget(f.ctx(), f.now.Add(time.Second), 10)
	f.must(err)
	if submit(f, 1000, "abc", 10) == first {
		f.Error("a forgotten message was named")
	}
}

func acceptRefused(f *fixture) {
	for _, destinations := range [][]string{nil, {"a"}, {"a", ""}, {"a", "b", "c"}, {"a", strings.Repeat("x", 1<<20)}} {
		if id, err := f.tryCommit(f.message("s", "a", "b"), "x", destinations...); err == nil {
			f.Errorf("destinations %.40q: stored as %s", destinations, id)
		}
	}
	if _, err := f.tryCommit(f.message("s"), "x"); err == nil {
		f.Error("stored without recipients")
	}
	_, _, err := f.Store.List(f.ctx(), queue.Filter{}, 0, 10)
	f.must(err)
	f.accept("s", "a")
}

func acceptInterleaved(f *fixture) {
	drafts := make([]queue.Draft, 3)
	for i := range drafts {
		d, err := f.Store.Create(f.ctx())
		f.must(err)
		drafts[i] = d
	}
	body := pattern(5 << 20)
	for part := range slices.Chunk([]byte(body), 700_001) {
		for _, d := range drafts {
			_, err := d.Write(part)
			f.must(err)
		}
	}
	f.must(drafts[1].Abort())
	for _, d := range []queue.Draft{drafts[2], drafts[0]} {
		id, err := d.Commit(f.ctx(), f.message("s", "d"), []string{"d"})
		f.must(err)
		if string(f.body(id)) != body {
			f.Error("body differs")
		}
	}
}
