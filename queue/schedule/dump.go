package schedule
import ("fmt";"time")
func Dump(s *Scheduler) { s.mu.Lock(); defer s.mu.Unlock(); now := time.Now()
 fmt.Println("horizon", s.loader.horizon.Sub(now), s.loader.next.Sub(now), s.loader.partial, s.looking, s.claiming, s.claimed, s.waiting, s.wanting.len(), s.lookups.len())
 for _, d := range s.destinations { fmt.Printf("%s count %d due %v susp %v next %v leased %d active %d bl %d others %d exh %v rest %d mark %v claimed %v res %v cl %v want %v heap %v pause %v\n", d.Name, d.Count, d.Due.Sub(now), d.Suspended.Sub(now), d.next().Sub(now), d.leased, d.active, d.backlog.len(), d.others(), d.exhausted, d.rest, d.mark.Sub(now), d.claimed.Sub(now), d.resolving, d.claiming, d.wanting, d.inHeap, d.pause.Sub(now)) }
}
