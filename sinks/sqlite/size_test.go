package sqlite_test

import (
	"testing"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// A change costs its row and an entry of one index; all else is stored once for
// a prefix, a route or a set of attributes.
func TestSizeOfChange(t *testing.T) {
	const most = 45 // octets on disk, with what pages leave empty
	s := newStore(t)
	table := newTable(2_000, 1)
	for i := range 10 {
		for _, batch := range table.Batches(1+uint64(i)*100_000, 500) {
			s.write(batch...)
		}
	}
	s.want("SELECT count(*) FROM route_change", "20000")
	var octets int
	if err := s.db().QueryRow("SELECT sum(pgsize) FROM dbstat WHERE name IN ('route_change', 'route_change_nlri')").Scan(&octets); err != nil {
		t.Fatal(err)
	}
	if octets > most*20_000 {
		t.Errorf("%.1f octets a change, want %d at most", float64(octets)/20_000, most)
	}
	// A route repeats of its change what a filter needs, and no more.
	s.want("SELECT group_concat(name, ' ') FROM pragma_table_info('route')", "nlri rib path_id change speaker attr")
}

// Times on both sides of the epoch of route_change, and far from it, come back as
// they were.
func TestChangesFarFromEpoch(t *testing.T) {
	s := newStore(t)
	want := []string{"1999-12-31T23:59:59.000001Z", "2027-12-31T23:59:59.999999Z", "2028-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.500000Z"}
	for i, text := range want {
		var at sqlite.Time
		if err := at.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		e := routeEvent(uint64(i+1), announce(attributes([]uint32{65001, uint32(i + 1)}), prefixes("10.0.0.0/8")...))
		e.Received = event.Time(at) * event.Time(time.Microsecond)
		e.Observed = e.Received + second
		s.write(e)
	}
	s.want("SELECT received_at FROM route_history ORDER BY sequence", want...)
	s.want("SELECT count(*) FROM route_history WHERE strftime('%s', observed_at) - strftime('%s', received_at) = 1", "4")
	s.want("SELECT received_at, since, sequence FROM routes", want[3]+"|"+want[3]+"|4")
	r := s.reader()
	for i, c := range all(t, r.History(t.Context(), sqlite.Query{})) {
		if c.ReceivedAt.String() != want[i] || *c.ObservedAt-c.ReceivedAt != 1_000_000 {
			t.Errorf("received %s, observed %s, want %s", c.ReceivedAt, c.ObservedAt, want[i])
		}
	}
	window := sqlite.Query{}
	window.From, window.To = mustTime(t, want[1]), mustTime(t, want[2])
	if n := len(all(t, r.History(t.Context(), window))); n != 2 {
		t.Errorf("%d changes from the end of 2027 to the beginning of 2028, want 2", n)
	}
	for i, text := range want {
		got := all(t, r.Routes(t.Context(), sqlite.Query{At: mustTime(t, text)}))
		if len(got) != 1 || got[0].Sequence != uint64(i+1) || got[0].Since.String() != text {
			t.Errorf("the route at %s is %+v", text, got)
		}
	}
}

func mustTime(t *testing.T, text string) time.Time {
	var at sqlite.Time
	if err := at.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return at.Std()
}
