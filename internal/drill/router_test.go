package drill

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/ribtap/ribtap/internal/load"
)

// newTable is a router's table; its peer's address tells the routers apart in
// places that know no names, as MRT files.
func newTable(router, n4, n6 int) *load.Table {
	t := load.NewTable(n4, n6, uint64(router)+1)
	t.Peer.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(router + 1)})
	t.Peer.BGPID = t.Peer.Address
	return t
}

func routerName(router int) string { return fmt.Sprintf("router%d", router) }

// connect opens a BMP session.
func connect(tb testing.TB, to string) net.Conn {
	tb.Helper()
	conn, err := net.Dial("tcp", to)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send writes all octets and returns how many BMP messages they are; each
// becomes one event.
func send(tb testing.TB, conn net.Conn, octets []byte) uint64 {
	tb.Helper()
	if _, err := conn.Write(octets); err != nil {
		tb.Fatal(err)
	}
	return messages(octets)
}

// messages counts BMP messages (RFC 7854 §4.1).
func messages(octets []byte) (n uint64) {
	const versionLen = 1
	for len(octets) > 0 {
		octets = octets[binary.BigEndian.Uint32(octets[versionLen:]):]
		n++
	}
	return n
}
