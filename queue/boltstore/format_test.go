package boltstore

import (
	"bytes"
	"io"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"postrider/queue"
)

// fill sets every field of a value to something that is not zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(noon.Add(time.Duration(*n) * 1234567891)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.String:
		v.SetString(strings.Repeat("é\xff", *n%5+1))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n%250 + 1))
	default:
		panic("no way to fill " + v.Type().String())
	}
}

// TestRowsLossless verifies that nothing is lost, in fields to come neither.
func TestRowsLossless(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var m queue.Message
	fill(reflect.ValueOf(&m).Elem(), &n)
	b, err := c.encodeMessage(&m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.decodeMessage(b); err != nil || !reflect.DeepEqual(*got, m) {
		t.Errorf("message: %v\n got %+v\nwant %+v", err, got, m)
	}
	var a queue.Attempt
	fill(reflect.ValueOf(&a).Elem(), &n)
	if b, err = c.encodeAttempt(&a); err != nil {
		t.Fatal(err)
	}
	if got, err := c.decodeAttempt(b); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("attempt: %v\n got %+v\nwant %+v", err, got, a)
	}
	var row deliveryRow
	fill(reflect.ValueOf(&row).Elem(), &n)
	if b, err = c.enc.Marshal(&row); err != nil {
		t.Fatal(err)
	}
	got, err := c.decodeDelivery(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.enc.Marshal(got); err != nil || !bytes.Equal(again, b) {
		t.Errorf("delivery: %v\n got %+v\nwant %+v", err, got, row)
	}
	d := got.delivery(row.Key)
	if d.Due != row.Due.time() || d.Recipients[1].At != row.Recipients[1].At.time() || d.Recipients[1].Reply != row.Recipients[1].Reply {
		t.Errorf("delivery %+v", d)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[queue.Delivery](), reflect.TypeFor[queue.DeliveryRecipient](), reflect.TypeFor[queue.Destination]()} {
		checkTimes(t, typ)
	}
}

// checkTimes demands that the rows replace every time of the type.
func checkTimes(t *testing.T, typ reflect.Type) {
	t.Helper()
	row := map[string]reflect.Type{
		"Delivery": reflect.TypeFor[deliveryRow](), "DeliveryRecipient": reflect.TypeFor[recipientRow](), "Destination": reflect.TypeFor[destinationRow](),
	}[typ.Name()]
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Type != reflect.TypeFor[time.Time]() {
			continue
		}
		if r, ok := row.FieldByName(f.Name); !ok || r.Type != reflect.TypeFor[tick]() {
			t.Errorf("%s.%s is not replaced by a tick", typ.Name(), f.Name)
		}
	}
}

func TestTicks(t *testing.T) {
	times := []time.Time{
		{}, time.Date(1700, 1, 1, 0, 0, 0, 1, time.UTC), time.Unix(0, -1).UTC(), time.Unix(0, 0).UTC(), time.Unix(0, 1).UTC(), noon,
		noon.Add(1), time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	last := tick(0)
	for i, at := range times {
		k := tickOf(at)
		if got := k.time(); got != at {
			t.Errorf("%v came back as %v", at, got)
		}
		if i > 0 && k <= last {
			t.Errorf("%v does not sort after the one before", at)
		}
		last = k
	}
	far := []time.Time{time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC), noon, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i, at := range far[1:] {
		if tickOf(at) <= tickOf(far[i]) || tickOf(at).time().IsZero() {
			t.Errorf("%v does not sort after %v", at, far[i])
		}
	}
}

func TestIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	clock := noon
	var last queue.ID
	for round := range 4 {
		s, err := Open(path, Options{Ballast: -1, Node: 5, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			id := mustPut(t, s, 1)
			if id <= last || id>>44 != 5 {
				t.Errorf("round %d: %s after %s", round, id, last)
			}
			last = id
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(-24 * 365 * time.Hour)
	}
	if want := queue.ID(5<<44 + 59*24*3600*16000 + 12*3600*16000); last < want || last > want+20 {
		t.Errorf("last ID %s, want one soon after %s", last, want)
	}
}

// TestDiskPerMessage bounds what a queued message of 2 KiB costs.
func TestDiskPerMessage(t *testing.T) {
	for name, clients := range map[string]int{"one by one": 1, "together": 50} {
		t.Run(name, func(t *testing.T) {
			s := openTemp(t, Options{Ballast: -1})
			const count = 3000
			var left atomic.Int64
			left.Store(count)
			done := make(chan error)
			for range clients {
				go func() {
					var err error
					for left.Add(-1) >= 0 && err == nil {
						_, err = put(s, 2048)
					}
					done <- err
				}()
			}
			for range clients {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			st, err := s.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if each := (st.FileSize - st.FileFree) / count; each > 4096 {
				t.Errorf("%d bytes each", each)
			}
		})
	}
}

// TestFlatMemory takes and gives back a body of 100 MiB.
func TestFlatMemory(t *testing.T) {
	const size = 100 << 20
	s := openTemp(t, Options{Ballast: -1})
	d, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peak := inUse()
	base := peak
	piece := make([]byte, 64<<10)
	for written := 0; written < size; written += len(piece) {
		if _, err := d.Write(piece); err != nil {
			t.Fatal(err)
		}
		if written%(4<<20) == 0 {
			peak = max(peak, inUse())
		}
	}
	id, err := d.Commit(t.Context(), simple(), []string{"d"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Body(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for {
		n, err := r.Read(piece)
		total += n
		if total%(4<<20) == 0 {
			peak = max(peak, inUse())
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != size {
		t.Errorf("%d bytes came back", total)
	}
	if grown := peak - base; grown > 16<<20 {
		t.Errorf("memory in use grew by %d MiB", grown>>20)
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func FuzzRows(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	n := 0
	var m queue.Message
	fill(reflect.ValueOf(&m).Elem(), &n)
	b, err := c.encodeMessage(&m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	row, err := c.enc.Marshal(&deliveryRow{Delivery: queue.Delivery{Destination: "d", State: queue.Queued}, Due: 5, Recipients: []recipientRow{{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add((&state{held: true, submission: make([]byte, submissionLen), holdReason: "h"}).encode())
	f.Add(new(counters).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := c.decodeMessage(b); err == nil {
			_ = m.ID.String()
		}
		if row, err := c.decodeDelivery(b); err == nil {
			_ = row.delivery(queue.DeliveryKey{})
		}
		if _, err := c.decodeAttempt(b); err == nil && len(b) == 0 {
			t.Error("nothing decoded")
		}
		if row, err := c.decodeDestination([]byte("d"), b); err == nil {
			_ = row.destination().Wake()
		}
		var ret retiredRow
		if err := c.decode("retired", b, &ret); err == nil {
			_, _ = ret.entry(c, 1)
		}
		if st, err := decodeState(b); err == nil && b[0] < 8 && !bytes.Equal(st.encode(), b) {
			t.Errorf("state %x encodes as %x", b, st.encode())
		}
		if cs, err := decodeCounters(b); err == nil && !bytes.Equal(cs.encode(), b) {
			t.Errorf("counters %x encode as %x", b, cs.encode())
		}
	})
}

func FuzzKeys(f *testing.F) {
	due := makeDueKey(lane{7, true, 9}, 11, queue.DeliveryKey{Message: 13, N: 15})
	f.Add(due[:])
	f.Add(timedKey(5, 7))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = idIn(b)
		if k, err := parseDueKey(b); err == nil && makeDueKey(k.lane(), k.due(), k.delivery()) != k {
			t.Errorf("due key %x", b)
		}
		if at, id, err := parseTimed(b); err == nil && !bytes.Equal(timedKey(at, id), b) {
			t.Errorf("time key %x", b)
		}
		if _, err := waking(b); err == nil && len(b) != wakeLen {
			t.Errorf("wake key %x", b)
		}
	})
}

func FuzzFold(f *testing.F) {
	f.Add("Example.COM", "example.com")
	f.Add("ſK", "sk")
	f.Add("a@b", "<>")
	f.Fuzz(func(t *testing.T, a, b string) {
		_ = senderDomain(a)
		if utf8.ValidString(a) && utf8.ValidString(b) && strings.EqualFold(a, b) != (fold(a) == fold(b)) {
			t.Errorf("EqualFold(%q, %q) is %v", a, b, strings.EqualFold(a, b))
		}
	})
}
