package stream

import (
	"encoding/binary"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/wire"
)

// payloads returns the payloads of the blocks that a batch becomes.
func payloads(t testing.TB, batch []event.Event, written event.Time) (out [][]byte, counts []uint32) {
	t.Helper()
	var e encoder
	if err := e.encode(batch, written); err != nil {
		t.Fatal(err)
	}
	for _, b := range e.blocks {
		from := b.start + blockHeaderLen
		out = append(out, slices.Clone(e.buf[from:from+int(b.header.length)]))
		counts = append(counts, b.header.count)
	}
	return out, counts
}

// decode reads a payload's events; ok is false when it ends in something that
// cannot be read.
func decode(d *decoder, payload []byte, written event.Time) (out []event.Event, ok bool) {
	if d.open(payload, written) != nil {
		return nil, false
	}
	for !d.events.Empty() {
		var ev event.Event
		if !d.next(&ev) {
			return out, false
		}
		out = append(out, ev)
	}
	return out, d.events.OK()
}

// roundTrip encodes and decodes; the events come back clones of their own.
func roundTrip(t testing.TB, batch []event.Event) []event.Event {
	t.Helper()
	var d decoder
	var out []event.Event
	blocks, counts := payloads(t, batch, 1234)
	for i, b := range blocks {
		events, ok := decode(&d, b, 1234)
		if !ok || len(events) != int(counts[i]) {
			t.Fatalf("block %d: %d events of %d, %v", i, len(events), counts[i], ok)
		}
		for _, ev := range events {
			out = append(out, clone(ev))
		}
	}
	return out
}

// fill sets every field that it can reach to something that is not zero, so
// that a field that the codec forgets, now or later, is noticed.
func fill(t testing.TB, v reflect.Value, n *uint64) {
	t.Helper()
	*n++
	if v.Type() == reflect.TypeFor[netip.Addr]() {
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, byte(*n >> 8), byte(*n)})))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field, n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(t, v.Index(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString("text" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + *n%250)
	case reflect.Int64:
		v.SetInt(int64(*n) * 1_000_003)
	default:
		t.Fatalf("no value for a %v", v.Type())
	}
}

func TestEveryFieldSurvives(t *testing.T) {
	var n uint64
	var ev event.Event
	fill(t, reflect.ValueOf(&ev).Elem(), &n)
	ev.Sequence = 0 // implicit
	got := roundTrip(t, []event.Event{ev})
	if !reflect.DeepEqual(got[0], ev) {
		t.Errorf("\n got %+v\nwant %+v", got[0], ev)
	}
}

// TestEachFieldAlone: no field needs another one to be there.
func TestEachFieldAlone(t *testing.T) {
	typ := reflect.TypeFor[event.Event]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if name == "Sequence" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var n uint64
			var ev event.Event
			fill(t, reflect.ValueOf(&ev).Elem().Field(i), &n)
			// Before and after an empty event, for what is kept between records.
			batch := []event.Event{{}, ev, {}}
			if got := roundTrip(t, batch); !reflect.DeepEqual(got, batch) {
				t.Errorf("\n got %+v\nwant %+v", got, batch)
			}
		})
	}
}

func TestExtremes(t *testing.T) {
	r := &event.Router{Address: netip.MustParseAddr("fe80::1%a-very-long-zone-name-that-no-interface-would-have-in-practice"), Session: math.MaxUint64}
	other := &event.Router{Name: "other"}
	p := &event.Peer{Router: r, Address: netip.MustParseAddr("::ffff:192.0.2.1"), ASN: math.MaxUint32, LocalASN: math.MaxUint32, Epoch: math.MaxUint32}
	batch := []event.Event{
		{Received: math.MaxInt64, Observed: math.MinInt64, Lost: math.MaxUint64, Start: math.MinInt64, End: math.MaxInt64},
		{Received: math.MinInt64, Observed: math.MaxInt64, Flags: math.MaxUint16, Reason: math.MaxUint16, FSMCode: math.MaxUint16},
		{Kind: 255, Source: 255, RIB: 255, Cause: 255, Session: bgp.Session{AddPath: math.MaxUint64, Peering: 255}},
		{Peer: p, Router: r},
		{Peer: p},                // a peer's event without router
		{Peer: p, Router: other}, // with another one
		{Peer: &event.Peer{}},
		{Router: r},
		{Stats: []event.Stat{{Type: math.MaxUint16, Family: math.MaxUint32, Value: math.MaxUint64}}},
	}
	got := roundTrip(t, batch)
	for i := range got {
		for j := range got[i].Stats {
			got[i].Stats[j].Raw = nil // empty and nil are the same
		}
	}
	if !reflect.DeepEqual(got, batch) {
		t.Errorf("\n got %+v\nwant %+v", got, batch)
	}
}

// TestPointersAreShared: an equal peer is the same pointer, in a block and in
// the next one, however many there are.
func TestPointersAreShared(t *testing.T) {
	const peers = 100
	routers := []*event.Router{{Name: "a"}, {Name: "b"}}
	var batch []event.Event
	for i := range 3 * peers {
		r := routers[i%2]
		batch = append(batch, event.Event{Router: r, Peer: &event.Peer{Router: r, ASN: uint32(i % peers)}})
	}
	var d decoder
	seen := map[event.Peer]*event.Peer{}
	for range 2 {
		for _, b := range must(payloads(t, batch, 0)) {
			events, ok := decode(&d, b, 0)
			if !ok || !reflect.DeepEqual(events, batch) {
				t.Fatal("the batch came back different")
			}
			for _, ev := range events {
				if ev.Router != ev.Peer.Router {
					t.Fatal("an event's router is not its peer's")
				}
				if p := seen[*ev.Peer]; p != nil && p != ev.Peer {
					t.Fatalf("two pointers for %+v", *p)
				}
				seen[*ev.Peer] = ev.Peer
			}
		}
	}
	if len(seen) != peers {
		t.Fatalf("%d peers, want %d", len(seen), peers)
	}
}

func must[T, U any](v T, _ U) T { return v }

// TestLargeBatchIsSplit: no block is much larger than blockTarget, and each can
// be read alone.
func TestLargeBatchIsSplit(t *testing.T) {
	m := newMaker(1)
	batch := m.batch(60_000)
	blocks, _ := payloads(t, batch, 0)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	i := 0
	for _, b := range blocks {
		if len(b) > blockTarget+10_000 {
			t.Fatalf("a block of %d octets", len(b))
		}
		var d decoder
		events, ok := decode(&d, b, 0)
		if !ok {
			t.Fatal("a block cannot be read alone")
		}
		for _, ev := range events {
			same(t, ev, batch[i], 0)
			i++
		}
	}
	if i != len(batch) {
		t.Fatalf("%d events, want %d", i, len(batch))
	}
}

func TestEventTooLarge(t *testing.T) {
	e := &encoder{}
	huge := make([]byte, maxEventLen/2+1)
	if err := e.encode([]event.Event{{PDU: huge, Head: huge}}, 0); err == nil {
		t.Fatal("no error")
	}
}

const later = "later"

// grown appends a field of a later version to the record whose four-octet
// length stands at at.
func grown(b []byte, at int, outer ...int) []byte {
	n := int(binary.BigEndian.Uint32(b[at:]))
	b = slices.Insert(b, at+4+n, []byte(later)...)
	for _, at := range append(outer, at) {
		binary.BigEndian.PutUint32(b[at:], binary.BigEndian.Uint32(b[at:])+uint32(len(later)))
	}
	return b
}

// TestLaterFieldsArePassedOver: a later minor version may append fields to every
// record.
func TestLaterFieldsArePassedOver(t *testing.T) {
	r := &event.Router{Name: "router"}
	batch := []event.Event{
		{Kind: event.KindRoute, Router: r, Peer: &event.Peer{Router: r, ASN: 65000}, PDU: []byte("pdu")},
		{Kind: event.KindStats, Router: r, Stats: []event.Stat{{Type: 7, Name: "loc-rib", Value: 9, OK: true, Raw: []byte{9}}}},
	}
	plain := must(payloads(t, batch, 5))[0]
	c := wire.NewCursor(plain)
	events := int(c.Uint32())
	second := 4 + 4 + int(c.Uint32())
	router := 4 + events + 1
	statLen := len(appendStat(nil, &batch[1].Stats[0])) // the last thing of the last event
	for _, row := range []struct {
		name  string
		at    int
		outer []int
	}{
		{"event", 4, []int{0}},
		{"router", router, nil},
		{"peer", router + 4 + int(binary.BigEndian.Uint32(plain[router:])) + 2, nil},
		{"statistic", 4 + events - statLen, []int{second, 0}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var d decoder
			got, ok := decode(&d, grown(slices.Clone(plain), row.at, row.outer...), 5)
			if !ok || !reflect.DeepEqual(got, batch) {
				t.Errorf("%v\n got %+v\nwant %+v", ok, got, batch)
			}
		})
	}
}

// FuzzRecord: no octets make the decoder panic, and whatever it reads from them
// survives being written and read again.
func FuzzRecord(f *testing.F) {
	m := newMaker(2)
	for _, n := range []int{1, 5, 40} {
		f.Add(must(payloads(f, m.batch(n), 77))[0])
	}
	var n uint64
	var ev event.Event
	fill(f, reflect.ValueOf(&ev).Elem(), &n)
	f.Add(must(payloads(f, []event.Event{ev, {}, ev}, 0))[0])
	f.Fuzz(func(t *testing.T, payload []byte) {
		var d decoder
		events, _ := decode(&d, payload, 42)
		if len(events) == 0 {
			return
		}
		// The decoder keeps an empty slice where there was a length of 0.
		for i := range events {
			ev := &events[i]
			for _, b := range []*[]byte{&ev.Head, &ev.PDU, &ev.Tail, &ev.Sent} {
				if len(*b) == 0 {
					*b = nil
				}
			}
			if len(ev.Marks) == 0 {
				ev.Marks = nil
			}
			if len(ev.Stats) == 0 {
				ev.Stats = nil
			}
		}
		if got := roundTrip(t, events); !equalEvents(got, events) {
			t.Errorf("\n got %+v\nwant %+v", got, events)
		}
	})
}

// equalEvents is reflect.DeepEqual, for which nil and empty raw values of
// statistics are alike.
func equalEvents(a, b []event.Event) bool {
	for _, list := range [][]event.Event{a, b} {
		for i := range list {
			for j := range list[i].Stats {
				if s := &list[i].Stats[j]; len(s.Raw) == 0 {
					s.Raw = nil
				}
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

// FuzzSegment: no file makes the log fail to open, panic, or go back; what is
// written behind it is read.
func FuzzSegment(f *testing.F) {
	rec := record(f, 6, false)
	f.Add(rec.bytes, 0)
	f.Add(rec.bytes[:len(rec.bytes)-5], 100)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, data []byte, flip int) {
		data = slices.Clone(data)
		if len(data) > 0 {
			data[int(uint(flip)%uint(len(data)))] ^= 1
		}
		if h, ok := parseSegmentHeader(data[:min(len(data), segmentHeaderLen)]); ok && h.major != versionMajor {
			return
		}
		disk := memWith(firstSegment(), data)
		if _, err := verifyFS(memDir, disk); err != nil {
			t.Fatal(err)
		}
		l := open(t, roomyConfig(), disk)
		defer shut(t, l)
		before := l.Last()
		if before == math.MaxUint64-1 {
			return // no sequence is left
		}
		if next := continuous(t, readAll(t, l, 1), 1); next != before+1 {
			t.Fatalf("events end before %d, last is %d", next, before)
		}
		write(t, l, rec.events[:1])
		got := readAll(t, l, before+1)
		if len(got) != 1 {
			t.Fatalf("%d events, want the one written", len(got))
		}
		same(t, got[0], rec.events[0], before+1)
	})
}
