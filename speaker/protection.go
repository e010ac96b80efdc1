package speaker

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// protection guards sockets: TCP MD5, TCP-AO and GTSM (RFC 2385, RFC 5925, RFC
// 5082). A method that returns an error has protected nothing, and the socket is
// closed.
type protection interface {
	// listener is called for each listening socket before it is bound.
	listener(ctx context.Context, network, address string, raw syscall.RawConn, peers []Peer) error
	// dialer is called before a connection is made.
	dialer(raw syscall.RawConn, p *Peer, to netip.AddrPort) error
	// accepted is called before an octet of an accepted connection is read.
	accepted(c *net.TCPConn, p *Peer) error
	// rekey brings the listening sockets from the keys of one configuration to
	// those of another. With an error the keys are those before.
	rekey(before, after []Peer) error
}

// newProtection is what New uses.
func newProtection() protection { return newKernel() }
