package boltstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// surveySample is the most deliveries that a survey reads for their replies.
const surveySample = 5000

// Survey implements queue.Store.
func (s *Store) Survey(ctx context.Context, ages []time.Time, top int) (*queue.Survey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sv := &survey{byNumber: make(map[uint32]*surveyed)}
	out := new(queue.Survey)
	var senders []queue.Tally
	sendersErr := make(chan error, 1)
	go func() {
		sendersErr <- s.view(func(v *view) (err error) {
			senders, err = v.topSenders(top)
			return err
		})
	}()
	err := s.view(func(v *view) (err error) {
		if err = sv.countDue(v, ages); err == nil {
			out.Destinations, err = sv.destinations(v, len(ages)+1)
		}
		return err
	})
	if senderErr := <-sendersErr; err == nil {
		err = senderErr
	}
	if err != nil {
		return nil, err
	}
	out.Senders, out.Tried = senders, len(sv.tried)
	out.Reasons, out.Sampled, err = s.topReasons(ctx, sv.tried, top)
	return out, err
}

// survey counts the due index, which has every delivery that is not held.
type survey struct {
	byNumber map[uint32]*surveyed
	tried    []queue.DeliveryKey
}

type surveyed struct {
	ages  []int
	total int
}

func (sv *survey) countDue(v *view, ages []time.Time) error {
	bounds, err := v.firstSince(ages)
	if err != nil {
		return err
	}
	var at *surveyed
	var number uint32
	c := v.bucket(dueBucket).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != dueLen {
			return fmt.Errorf("damaged key of %d bytes in the due index", len(k))
		}
		if n := binary.BigEndian.Uint32(k); at == nil || n != number {
			at, number = &surveyed{ages: make([]int, len(bounds)+1)}, n
			sv.byNumber[n] = at
		}
		id := idIn(k[lanePrefix+8:])
		age := 0
		for age < len(bounds) && id < bounds[age] {
			age++
		}
		at.ages[age]++
		at.total++
		if k[4] == 1 {
			sv.tried = append(sv.tried, queue.DeliveryKey{Message: id, N: binary.BigEndian.Uint16(k[lanePrefix+8+idLen:])})
		}
	}
	return nil
}

// firstSince gives for each time the first message that arrived after it, by a
// binary search; an ID after the last message if none did.
func (v *view) firstSince(times []time.Time) ([]queue.ID, error) {
	c := v.bucket(messageBucket).Cursor()
	last, _ := c.Last()
	bounds := make([]queue.ID, 0, len(times))
	for _, t := range times {
		low, high := queue.ID(1), idIn(last)+1
		for low < high {
			middle := low + (high-low)/2
			k, b := c.Seek(idKey(middle))
			if k == nil {
				high = middle
				continue
			}
			arrival, err := v.arrival(b)
			if err != nil {
				return nil, err
			}
			if arrival > tickOf(t) {
				high = middle
			} else {
				low = idIn(k) + 1
			}
		}
		bounds = append(bounds, low)
	}
	return bounds, nil
}

// arrival decodes a message's time of arrival alone.
func (v *view) arrival(b []byte) (tick, error) {
	var row struct {
		Arrival tick `cbor:"7,keyasint"`
	}
	err := v.decode("message", b, &row)
	return row.Arrival, err
}

func (sv *survey) destinations(v *view, ages int) (out []queue.SurveyDestination, err error) {
	c := v.bucket(destBucket).Cursor()
	for k, b := c.First(); k != nil; k, b = c.Next() {
		row, err := v.decodeDestination(k, b)
		if err != nil {
			return nil, err
		}
		d := queue.SurveyDestination{Destination: row.destination(), Ages: make([]int, ages)}
		waiting := 0
		if counted := sv.byNumber[row.Number]; counted != nil {
			d.Ages, waiting = counted.ages, counted.total
		}
		d.Held = max(d.Count-waiting, 0)
		out = append(out, d)
	}
	return out, nil
}

// topSenders counts the sender index, which has every message, by a hash of
// reverse-path and uid, and reads one message for each of the most frequent ones.
func (v *view) topSenders(top int) ([]queue.Tally, error) {
	type counted struct {
		id    queue.ID
		count int
	}
	byHash := make(map[uint32]*counted)
	err := v.bucket(senderBucket).ForEach(func(k, hash []byte) error {
		if len(k) != senderLen || len(hash) != 4 {
			return fmt.Errorf("damaged row of %d bytes in the sender index", len(k)+len(hash))
		}
		at := byHash[binary.BigEndian.Uint32(hash)]
		if at == nil {
			at = &counted{id: idIn(k[8:])}
			byHash[binary.BigEndian.Uint32(hash)] = at
		}
		at.count++
		return nil
	})
	if err != nil {
		return nil, err
	}
	most := make([]*counted, 0, len(byHash))
	for _, at := range byHash {
		most = append(most, at)
	}
	slices.SortFunc(most, func(a, b *counted) int { return cmp.Or(b.count-a.count, cmp.Compare(a.id, b.id)) })
	counts := make(map[string]int)
	messages := v.bucket(messageBucket)
	for _, at := range most[:min(len(most), 8*top)] { // a reverse-path may have several uids
		if err := v.addSender(counts, messages, at.id, at.count); err != nil {
			return nil, err
		}
	}
	return topOf(counts, top), nil
}

func (v *view) addSender(counts map[string]int, messages *bolt.Bucket, id queue.ID, count int) error {
	b := messages.Get(idKey(id))
	if b == nil {
		return nil
	}
	m, err := v.decodeMessage(b)
	if err != nil {
		return err
	}
	counts[m.Envelope.ReversePath.String()] += count
	return nil
}

// topReasons reads the last replies of deliveries that were tried.
func (s *Store) topReasons(ctx context.Context, tried []queue.DeliveryKey, top int) (reasons []queue.Tally, sampled int, err error) {
	stride := (len(tried) + surveySample - 1) / surveySample
	counts := make(map[string]int)
	for at := 0; at < len(tried); {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		err := s.view(func(v *view) error {
			for end := at + window*stride; at < min(end, len(tried)); at += stride {
				row, err := v.delivery(tried[at])
				if err != nil {
					return err
				}
				if row != nil {
					sampled++
					countReplies(counts, row)
				}
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return topOf(counts, top), sampled, nil
}

// countReplies counts each reply of a delivery once.
func countReplies(counts map[string]int, row *deliveryRow) {
	last := ""
	for _, r := range row.Recipients {
		if !r.Result.Ended() && r.Reply != "" && r.Reply != last {
			last = r.Reply
			counts[last]++
		}
	}
}

func topOf(counts map[string]int, top int) []queue.Tally {
	all := make([]queue.Tally, 0, len(counts))
	for value, n := range counts {
		all = append(all, queue.Tally{Value: value, Count: n})
	}
	slices.SortFunc(all, func(a, b queue.Tally) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Value, b.Value)) })
	return all[:min(len(all), top)]
}
