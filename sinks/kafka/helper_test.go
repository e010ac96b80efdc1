package kafka

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// producerEnv makes the test binary a producer of its own; see crash_test.go.
const producerEnv = "RIBTAP_TEST_KAFKA_PRODUCER"

func TestMain(m *testing.M) {
	if spec := os.Getenv(producerEnv); spec != "" {
		if err := produceForEver(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(kafkatest.Main(m))
}

func quiet() *slog.Logger {
	if os.Getenv("RIBTAP_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// Messages are put together here by hand, so that the tests do not depend on an
// encoder of our own.

func message(typ byte, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	m := bytes.Repeat([]byte{0xff}, 16)
	m = binary.BigEndian.AppendUint16(m, uint16(19+len(b)))
	return append(append(m, typ), b...)
}

func attribute(flags, code byte, value ...byte) []byte {
	if len(value) > 255 {
		return append([]byte{flags | 0x10, code, byte(len(value) >> 8), byte(len(value))}, value...)
	}
	return append([]byte{flags, code, byte(len(value))}, value...)
}

func nlri(prefixes ...string) []byte {
	var b []byte
	for _, s := range prefixes {
		p := netip.MustParsePrefix(s)
		b = append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}

// updateMessage makes an UPDATE of IPv4 routes; without attributes it only
// withdraws.
func updateMessage(withdrawn, attrs, announced []byte) []byte {
	put := binary.BigEndian.AppendUint16
	return message(bgp.MessageUpdate, put(nil, uint16(len(withdrawn))), withdrawn, put(nil, uint16(len(attrs))), attrs, announced)
}

// attributes are those of a route with the AS path.
func attributes(path ...uint32) []byte {
	seg := []byte{2, byte(len(path))}
	for _, as := range path {
		seg = binary.BigEndian.AppendUint32(seg, as)
	}
	return bytes.Join([][]byte{
		attribute(0x40, 1, 0), attribute(0x40, 2, seg...), attribute(0x40, 3, 192, 0, 2, 11),
		attribute(0x80, 4, 0, 0, 0, 50), attribute(0xc0, 8, 0xfd, 0xe8, 0, 1, 0xff, 0xff, 0xff, 1),
		attribute(0xc0, 16, 0, 2, 0xfd, 0xe8, 0, 0, 0, 1), attribute(0xc0, 32, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 0, 0, 0, 2),
	}, nil)
}

// t0 is when the first event of the tests was received.
const t0 = event.Time(1_790_000_000_123_456_000)

// epoch is what events are counted from; tests may set it.
var epoch = t0

const routersOfTests = 8

var (
	testRouters [routersOfTests]*event.Router
	testPeers   [routersOfTests]*event.Peer
)

// The values are made once, as Router and Peer are compared by pointer.
var _ = func() bool {
	for i := range testRouters {
		testRouters[i] = &event.Router{
			Name: fmt.Sprintf("edge%d", i), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}),
			SysName: fmt.Sprintf("edge%d.example.net", i), SysDescr: "test \"router\"\n", Session: uint64(7 + i),
		}
		testPeers[i] = &event.Peer{
			Router: testRouters[i], Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), ASN: 65011,
			BGPID: netip.AddrFrom4([4]byte{10, 0, 0, 11}), LocalAddress: netip.AddrFrom4([4]byte{198, 51, 100, 254}), LocalASN: 65001, Epoch: 2,
		}
	}
	return true
}()

// routeEvent is an event of BMP that carries the UPDATE.
func routeEvent(seq uint64, router int, pdu []byte, marks ...event.Mark) event.Event {
	e := event.Event{
		Sequence: seq, Received: epoch + event.Time(seq)*1_000_000, Observed: epoch - 1_000_000_000 + event.Time(seq)*1_000_000,
		Kind: event.KindRoute, Source: event.SourceBMP, RIB: event.AdjRIBInPre,
		Router: testRouters[router], Peer: testPeers[router], Session: bgp.Session{AS4: true}, PDU: pdu, Marks: marks,
	}
	e.Head = bmpHead(0, e.Peer, len(pdu))
	return e
}

// bmpHead makes the common and the per-peer header of a BMP message whose body
// has n octets.
func bmpHead(typ byte, p *event.Peer, n int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{3}, uint32(48+n))
	b = append(b, typ, byte(p.Type), 0)
	b = append(b, p.Distinguisher[:]...)
	b = append(append(b, make([]byte, 12)...), p.Address.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, p.ASN)
	b = append(b, p.BGPID.AsSlice()...)
	return append(b, 0, 0, 0, 1, 0, 0, 0, 2)
}

const both2 = event.MarkChanged | event.MarkState

// crashEvent is the event of a sequence in the tests that count: the same for
// every call, some of them large.
func crashEvent(seq uint64) event.Event {
	p := func(n uint64) string { return fmt.Sprintf("10.%d.%d.0/24", n/256%256, n%256) }
	router := int(seq % routersOfTests)
	if seq%5 == 0 {
		return routeEvent(seq, router, updateMessage(nlri(p(seq/2)), nil, nil), both2)
	}
	var list []string
	for i := range seq % 17 {
		list = append(list, p(seq+i))
	}
	return routeEvent(seq, router, updateMessage(nil, attributes(65011, 65000, uint32(seq)), nlri(append(list, p(seq*7))...)), both2)
}

func crashBatch(first uint64, n int) []event.Event {
	batch := make([]event.Event, n)
	for i := range batch {
		batch[i] = crashEvent(first + uint64(i))
	}
	return batch
}

// md5sum is what the program of that name prints.
func md5sum(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
