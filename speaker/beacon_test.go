package speaker

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBeacon(t *testing.T) {
	ris := Beacon{Up: 2 * time.Hour, Down: 2 * time.Hour}
	late := Beacon{Up: 10 * time.Minute, Down: 50 * time.Minute, Offset: 30 * time.Minute}
	for _, tt := range []struct {
		beacon Beacon
		at     string
		up     bool
		next   string
	}{
		{ris, "2025-11-26T00:00:00Z", true, "2025-11-26T02:00:00Z"},
		{ris, "2025-11-26T01:59:59.999999999Z", true, "2025-11-26T02:00:00Z"},
		{ris, "2025-11-26T02:00:00Z", false, "2025-11-26T04:00:00Z"},
		{ris, "2025-11-26T23:30:00Z", false, "2025-11-27T00:00:00Z"},
		{ris, "2025-03-30T03:30:00+02:00", true, "2025-03-30T02:00:00Z"}, // summer time begins in Europe
		{ris, "1969-12-31T23:00:00Z", false, "1970-01-01T00:00:00Z"},
		{late, "2025-11-26T00:29:59Z", false, "2025-11-26T00:30:00Z"},
		{late, "2025-11-26T00:30:00Z", true, "2025-11-26T00:40:00Z"},
		{late, "2025-11-26T00:40:00Z", false, "2025-11-26T01:30:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		up, next := tt.beacon.At(at)
		if got := next.Format(time.RFC3339Nano); up != tt.up || got != tt.next {
			t.Errorf("%+v at %s: %v until %s, want %v until %s", tt.beacon, tt.at, up, got, tt.up, tt.next)
		}
	}
}

// TestBeaconChanges: what At says holds until the time that it gives, and no
// longer.
func TestBeaconChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := Beacon{Up: time.Duration(r.Int64N(int64(30 * time.Hour))), Down: time.Duration(r.Int64N(int64(30 * time.Hour)))}
		b.Offset = time.Duration(r.Int64N(int64(b.Up + b.Down + 1)))
		if b.Validate() != nil {
			continue
		}
		at := time.Unix(r.Int64N(4e9)-1e9, r.Int64N(1e9))
		up, next := b.At(at)
		if !next.After(at) || next.Sub(at) > max(b.Up, b.Down) {
			t.Fatalf("%+v at %v: next %v", b, at, next)
		}
		if still, _ := b.At(next.Add(-1)); still != up {
			t.Fatalf("%+v at %v: changed before %v", b, at, next)
		}
		after, then := b.At(next)
		if after == up {
			t.Fatalf("%+v at %v: no change at %v", b, at, next)
		}
		if length := then.Sub(next); after && length != b.Up || !after && length != b.Down {
			t.Fatalf("%+v: %v for %v", b, after, length)
		}
	}
}

func TestActiveAnnouncements(t *testing.T) {
	at := time.Date(2025, 11, 26, 3, 0, 0, 0, time.UTC)
	list := prefixes(4, Announcement{})
	active, next := ActiveAnnouncements(list, at)
	if len(active) != 4 || &active[0] != &list[0] || !next.IsZero() {
		t.Errorf("without beacons: %d, next %v", len(active), next)
	}
	list[1].Beacon = &Beacon{Up: 2 * time.Hour, Down: 2 * time.Hour}                        // down until 04:00
	list[2].Beacon = &Beacon{Up: 2 * time.Hour, Down: 2 * time.Hour, Offset: 2 * time.Hour} // up until 04:00
	list[3].Beacon = &Beacon{Up: 3*time.Hour + time.Minute, Down: time.Hour - time.Minute}  // up until 03:01
	active, next = ActiveAnnouncements(list, at)
	if len(active) != 3 || active[0].Prefix != list[0].Prefix || active[1].Prefix != list[2].Prefix || active[2].Prefix != list[3].Prefix {
		t.Errorf("got %v", active)
	}
	if want := at.Add(time.Minute); !next.Equal(want) {
		t.Errorf("next %v, want %v", next, want)
	}
	for i := range active {
		if active[i].Beacon != nil || list[3].Beacon == nil {
			t.Error("what is announced has a schedule, or the list lost one")
		}
	}
}

// TestBeaconOnTheWire drives a session by a beacon for a day.
func TestBeaconOnTheWire(t *testing.T) {
	s := outSession(t, outParams{})
	list := prefixes(2, Announcement{})
	list[1].Beacon = &Beacon{Up: 2 * time.Hour, Down: 2 * time.Hour}
	now := time.Date(2025, 11, 26, 0, 0, 0, 0, time.UTC)
	config := &Peer{Announce: list, Drain: true}
	p, next := config.announcingAt(now)
	a, r := outSessionUp(t, s, p)
	for hour := 2; hour <= 24; hour += 2 {
		now = next
		if now.Hour() != hour%24 {
			t.Fatalf("change at %v, want it at %d h", now, hour)
		}
		p, next = config.announcingAt(now)
		want := "1 messages +1 -0"
		if hour%4 == 2 {
			want = "1 messages +0 -1"
		}
		if got := r.change(a, p); got != want {
			t.Errorf("%v: %s, want %s", now, got, want)
		}
	}
}

func TestAnnouncingWithoutBeacon(t *testing.T) {
	p := &Peer{Announce: prefixes(1, Announcement{})}
	if got, next := p.announcingAt(time.Now()); got != p || !next.IsZero() {
		t.Errorf("got %v, next %v", got, next)
	}
}
