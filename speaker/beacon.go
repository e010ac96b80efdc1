package speaker

import (
	"errors"
	"time"
)

// Beacon is a schedule by which a route comes and goes, counted from 1970-01-01
// 00:00 UTC, as RIPE RIS does it: with 2h up and 2h down the route comes at 00:00,
// 04:00, 08:00 and goes at 02:00, 06:00, 10:00, every day.
type Beacon struct {
	// Up and Down are how long the route is there and away, at least 1 s each.
	Up, Down time.Duration
	// Offset moves the schedule to later; it is below Up and Down together.
	Offset time.Duration
}

// minBeacon keeps a beacon from becoming a flood of updates.
const minBeacon = time.Second

// maxBeaconPhase keeps the sum of the two in range.
const maxBeaconPhase = 365 * 24 * time.Hour

// Validate reports a schedule that cannot be kept.
func (b *Beacon) Validate() error {
	switch {
	case b.Up < minBeacon || b.Down < minBeacon:
		return errors.New("a beacon is up and down for 1s at least")
	case b.Up > maxBeaconPhase || b.Down > maxBeaconPhase:
		return errors.New("a beacon is up and down for a year at most")
	case b.Offset < 0 || b.Offset >= b.Up+b.Down:
		return errors.New("the offset of a beacon is below its up and down time together")
	}
	return nil
}

// At returns whether the route is there at t, which is before 2262, and when that
// changes next. The beacon must be valid.
func (b *Beacon) At(t time.Time) (up bool, next time.Time) {
	period := b.Up + b.Down
	since := (time.Duration(t.UnixNano()) - b.Offset) % period
	if since < 0 {
		since += period
	}
	left := period - since
	if up = since < b.Up; up {
		left = b.Up - since
	}
	// Without the monotonic reading: the schedule follows the wall clock.
	return up, t.Round(0).Add(left).UTC()
}

// ActiveAnnouncements returns what of the list is to be announced at t, in the
// list's order and without schedules, and when that changes next: the zero Time
// when it never does. Without a beacon it returns the list itself.
func ActiveAnnouncements(list []Announcement, t time.Time) (active []Announcement, next time.Time) {
	scheduled := 0
	for i := range list {
		if list[i].Beacon != nil {
			scheduled++
		}
	}
	if scheduled == 0 {
		return list, time.Time{}
	}
	active = make([]Announcement, 0, len(list))
	for i := range list {
		b := list[i].Beacon
		if b == nil {
			active = append(active, list[i])
			continue
		}
		up, change := b.At(t)
		if next.IsZero() || change.Before(next) {
			next = change
		}
		if up {
			active = append(active, list[i])
			active[len(active)-1].Beacon = nil
		}
	}
	return active, next
}

// announcingAt returns the peer with what ActiveAnnouncements says in place of its
// list, fit for exporter.set, and when that changes next: the peer itself, and the
// zero Time, without a beacon.
func (p *Peer) announcingAt(t time.Time) (*Peer, time.Time) {
	active, next := ActiveAnnouncements(p.Announce, t)
	if next.IsZero() {
		return p, next
	}
	now := *p
	now.Announce = active
	return &now, next
}
