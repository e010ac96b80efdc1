package rpki

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func vrpsOf(list ...VRP) map[VRP]struct{} {
	m := map[VRP]struct{}{}
	for _, v := range list {
		m[v] = struct{}{}
	}
	return m
}

func vrp(prefix string, most uint8, asn uint32) VRP {
	return VRP{netip.MustParsePrefix(prefix), most, asn}
}

// The examples of RFC 6811 and what follows from its rules.
func TestValidate(t *testing.T) {
	var table Table
	if v := table.Validate(netip.MustParsePrefix("10.0.0.0/8"), 1); v != Unknown {
		t.Errorf("without a table: %v", v)
	}
	table.now.Store(newSet(vrpsOf(
		vrp("10.0.0.0/8", 16, 64496), vrp("10.0.0.0/8", 8, 64497), vrp("10.1.0.0/16", 24, 64498), vrp("192.0.2.0/24", 24, 0), vrp("2001:db8::/32", 48, 64496),
	)))
	for _, c := range []struct {
		prefix string
		origin uint32
		want   Validity
		vrps   int
	}{
		{"10.0.0.0/8", 64496, Valid, 2},
		{"10.0.0.0/8", 64497, Valid, 2},
		{"10.0.0.0/8", 64498, Invalid, 2},
		{"10.2.0.0/16", 64496, Valid, 2},
		{"10.2.0.0/17", 64496, Invalid, 2},
		{"10.2.0.0/16", 64497, Invalid, 2},
		{"10.1.2.0/24", 64498, Valid, 3},
		{"10.1.2.0/25", 64498, Invalid, 3},
		{"10.1.0.0/16", 64496, Valid, 3},
		{"0.0.0.0/0", 64496, NotFound, 0},
		{"11.0.0.0/8", 64496, NotFound, 0},
		{"192.0.2.0/24", 64496, Invalid, 1},
		{"192.0.2.0/24", 0, Invalid, 1},
		{"10.0.0.0/8", 0, Invalid, 2},
		{"2001:db8:1::/48", 64496, Valid, 1},
		{"2001:db8:1::/49", 64496, Invalid, 1},
		{"2001:db9::/32", 64496, NotFound, 0},
	} {
		got, covering := table.Explain(netip.MustParsePrefix(c.prefix), c.origin)
		if got != c.want || len(covering) != c.vrps {
			t.Errorf("%s from AS %d: %v by %v, want %v by %d", c.prefix, c.origin, got, covering, c.want, c.vrps)
		}
	}
}

// The table agrees with the rules read one by one.
func TestValidateProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	prefix := func() netip.Prefix {
		p, err := netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.IntN(4) << 6), 0}).Prefix(8 + rng.IntN(17))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for range 300 {
		vrps := map[VRP]struct{}{}
		for range rng.IntN(12) {
			p := prefix()
			vrps[VRP{p, uint8(p.Bits() + rng.IntN(33-p.Bits())), rng.Uint32N(4)}] = struct{}{}
		}
		var table Table
		table.now.Store(newSet(vrps))
		for range 30 {
			p, origin := prefix(), rng.Uint32N(4)
			want := NotFound
			for v := range vrps {
				if v.Prefix.Bits() > p.Bits() || !v.Prefix.Overlaps(p) {
					continue
				}
				if v.ASN == origin && origin != 0 && p.Bits() <= int(v.MaxLength) {
					want = Valid
				} else if want == NotFound {
					want = Invalid
				}
			}
			if got := table.Validate(p, origin); got != want {
				t.Fatalf("%s from AS %d by %v: %v, want %v", p, origin, vrps, got, want)
			}
		}
	}
}

// script is a cache that says what the test wants, one connection after another.
type script struct {
	t     *testing.T
	conns chan net.Conn
}

func newScript(t *testing.T) (*script, Config) {
	s := &script{t, make(chan net.Conn)}
	return s, Config{Caches: []string{"cache:323"}, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case s.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

func (s *script) accept() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	select {
	case c := <-s.conns:
		return c, bufio.NewReader(c)
	case <-time.After(20 * time.Second):
		s.t.Fatal("the client does not connect")
		return nil, nil
	}
}

func (s *script) expect(r io.Reader, version, kind uint8) pdu {
	s.t.Helper()
	p, err := readPDU(r)
	if err != nil || p.version != version || p.kind != kind {
		s.t.Fatalf("got %+v, %v, want type %d of version %d", p, err, kind, version)
	}
	return p
}

func say(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func prefixPDU(version uint8, v VRP, announce bool) []byte {
	kind, size := uint8(pduIPv4), 4
	if v.Prefix.Addr().Is6() {
		kind, size = pduIPv6, 16
	}
	flags := byte(0)
	if announce {
		flags = 1
	}
	b := appendHeader(nil, version, kind, 0, headerLen+4+size+4)
	b = append(b, flags, byte(v.Prefix.Bits()), v.MaxLength, 0)
	b = append(b, v.Prefix.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint32(b, v.ASN)
}

func endOfData(version uint8, session uint16, serial uint32) []byte {
	if version == 0 {
		return binary.BigEndian.AppendUint32(appendHeader(nil, 0, pduEndOfData, session, 12), serial)
	}
	b := binary.BigEndian.AppendUint32(appendHeader(nil, version, pduEndOfData, session, 24), serial)
	for _, v := range []uint32{3600, 1, 7200} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// start runs a client until the test ends.
func start(t *testing.T, cfg Config) *Client {
	c := NewClient(cfg, &Table{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func awaitLen(t *testing.T, table *Table, want int) {
	t.Helper()
	n := 0
	for range 500 {
		if n, _ = table.Len(); n == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d VRPs, want %d", n, want)
}

// A client's life: version 2 is refused and 1 taken, a table, a change after a notify,
// a new connection that goes on from the serial, one that cannot, a version 0.
func TestClient(t *testing.T) {
	s, cfg := newScript(t)
	c := start(t, cfg)

	conn, r := s.accept()
	s.expect(r, 2, pduResetQuery)
	say(t, conn, appendErrorReport(nil, 1, errorUnsupportedVersion, "only 1"))
	conn.Close()

	a, b, v6 := vrp("10.0.0.0/8", 24, 64496), vrp("10.1.0.0/16", 16, 64497), vrp("2001:db8::/32", 32, 64498)
	conn, r = s.accept()
	s.expect(r, 1, pduResetQuery)
	answer := appendHeader(nil, 1, pduCacheResponse, 7, headerLen)
	for _, v := range []VRP{a, b, v6} {
		answer = append(answer, prefixPDU(1, v, true)...)
	}
	answer = append(answer, append(appendHeader(nil, 1, pduRouterKey, 0, headerLen+4), 1, 2, 3, 4)...) // BGPsec
	say(t, conn, append(answer, endOfData(1, 7, 100)...))
	awaitLen(t, c.table, 3)
	if v := c.table.Validate(b.Prefix, 64497); v != Valid {
		t.Errorf("%v", v)
	}

	say(t, conn, binary.BigEndian.AppendUint32(appendHeader(nil, 1, pduSerialNotify, 7, 12), 101))
	if p := s.expect(r, 1, pduSerialQuery); p.session != 7 || binary.BigEndian.Uint32(p.body) != 100 {
		t.Errorf("asks from %+v", p)
	}
	say(t, conn, append(append(appendHeader(nil, 1, pduCacheResponse, 7, headerLen), prefixPDU(1, b, false)...), endOfData(1, 7, 101)...))
	awaitLen(t, c.table, 2)
	conn.Close()

	conn, r = s.accept() // after the retry time, 1 s
	if p := s.expect(r, 1, pduSerialQuery); binary.BigEndian.Uint32(p.body) != 101 {
		t.Errorf("asks from %+v", p)
	}
	say(t, conn, appendHeader(nil, 1, pduCacheReset, 0, headerLen))
	s.expect(r, 1, pduResetQuery)
	say(t, conn, append(append(appendHeader(nil, 1, pduCacheResponse, 8, headerLen), prefixPDU(1, v6, true)...), endOfData(1, 8, 1)...))
	awaitLen(t, c.table, 1)
	st := c.States()[0]
	if !st.Connected || st.Version != 1 || st.Serial != 1 || st.VRPs != 1 || st.Updated.IsZero() {
		t.Errorf("%+v", st)
	}
	// What is wrong ends the connection with a report, and leaves the table.
	say(t, conn, binary.BigEndian.AppendUint32(appendHeader(nil, 1, pduSerialNotify, 8, 12), 2))
	s.expect(r, 1, pduSerialQuery)
	bad := prefixPDU(1, a, true)
	bad[9] = 33 // the length
	go func() { _, _ = conn.Write(append(appendHeader(nil, 1, pduCacheResponse, 8, headerLen), bad...)) }()
	if p := s.expect(r, 1, pduErrorReport); !strings.Contains(p.report().Error(), "10.0.0.0/33") {
		t.Errorf("%v", p.report())
	}
	awaitLen(t, c.table, 1)
	// One that began anew is asked for all of it.
	conn, r = s.accept()
	s.expect(r, 1, pduSerialQuery)
	say(t, conn, appendHeader(nil, 1, pduCacheResponse, 9, headerLen))
	_, r = s.accept()
	s.expect(r, 2, pduResetQuery)
	awaitLen(t, c.table, 1)
}

// An old cache hangs up on what it does not know, twice.
func TestVersionZero(t *testing.T) {
	s, cfg := newScript(t)
	c := start(t, cfg)
	for version := 2; version > 0; version-- {
		conn, r := s.accept()
		s.expect(r, uint8(version), pduResetQuery)
		conn.Close()
	}
	conn, r := s.accept()
	s.expect(r, 0, pduResetQuery)
	say(t, conn, append(append(appendHeader(nil, 0, pduCacheResponse, 1, headerLen), prefixPDU(0, vrp("10.0.0.0/8", 8, 1), true)...), endOfData(0, 1, 5)...))
	awaitLen(t, c.table, 1)
	if st := c.States()[0]; st.Version != 0 || st.Expires.Sub(st.Updated).Round(time.Minute) != 2*time.Hour {
		t.Errorf("%+v", st)
	}
}

// What a cache says is read without a panic, whatever it is.
func FuzzReadPDU(f *testing.F) {
	f.Add(prefixPDU(1, vrp("10.0.0.0/8", 8, 1), true))
	f.Add(endOfData(1, 7, 100))
	f.Add(appendErrorReport(nil, 1, 2, "no data"))
	f.Add(appendSerialQuery(nil, 1, 7, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		for r := bufio.NewReader(strings.NewReader(string(b))); ; {
			p, err := readPDU(r)
			if err != nil {
				return
			}
			switch p.kind {
			case pduIPv4, pduIPv6:
				if v, _, err := p.prefix(); err == nil && (v.Prefix != v.Prefix.Masked() || int(v.MaxLength) < v.Prefix.Bits()) {
					t.Errorf("%+v is taken", v)
				}
			case pduEndOfData:
				_, _, _ = p.endOfData()
			case pduErrorReport:
				_ = p.report().Error()
			}
		}
	})
}
