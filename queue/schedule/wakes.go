package schedule

import (
	"container/heap"
	"time"
)

// wakes is a heap of destinations by the time at which each is looked at next.
type wakes struct{ items []*destination }

// set puts d in, or moves it.
func (w *wakes) set(d *destination, at time.Time) {
	d.wake = at
	if d.inHeap {
		heap.Fix((*wakeHeap)(w), d.heapIndex)
		return
	}
	heap.Push((*wakeHeap)(w), d)
}

// remove takes d out if it is in.
func (w *wakes) remove(d *destination) {
	if d.inHeap {
		heap.Remove((*wakeHeap)(w), d.heapIndex)
	}
}

// popDue takes out the earliest if it is due; nil if none is.
func (w *wakes) popDue(now time.Time) *destination {
	if len(w.items) == 0 || w.items[0].wake.After(now) {
		return nil
	}
	return heap.Pop((*wakeHeap)(w)).(*destination)
}

// first is the earliest time; zero if there is none.
func (w *wakes) first() time.Time {
	if len(w.items) == 0 {
		return time.Time{}
	}
	return w.items[0].wake
}

// late is one of the later destinations, nil if there is none: a leaf.
func (w *wakes) late() *destination {
	if len(w.items) == 0 {
		return nil
	}
	return w.items[len(w.items)-1]
}

// wakeHeap implements heap.Interface on wakes.
type wakeHeap wakes

func (h *wakeHeap) Len() int           { return len(h.items) }
func (h *wakeHeap) Less(i, j int) bool { return h.items[i].wake.Before(h.items[j].wake) }

func (h *wakeHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].heapIndex, h.items[j].heapIndex = i, j
}

func (h *wakeHeap) Push(x any) {
	d := x.(*destination)
	d.heapIndex, d.inHeap = len(h.items), true
	h.items = append(h.items, d)
}

func (h *wakeHeap) Pop() any {
	last := len(h.items) - 1
	d := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	d.inHeap = false
	return d
}
