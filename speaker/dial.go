package speaker

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// attempt is a dial under way.
type attempt struct {
	cancel context.CancelFunc
	result chan dialResult // of one
}

type dialResult struct {
	nc  net.Conn
	err error
}

// dial begins to connect. While another connection of the neighbour has come far,
// the neighbour is held or there are too many in all, it does nothing: the
// ConnectRetryTimer asks again.
func (r *runner) dial(ctx context.Context) {
	if r.nb.hasSession(r) || r.nb.holdLeft() > 0 || !r.nb.sp.acquire() {
		return
	}
	r.nb.attempts.Add(1)
	r.nb.sp.metrics.attempts.Inc()
	ctx, cancel := context.WithCancel(ctx)
	r.attempt = &attempt{cancel: cancel, result: make(chan dialResult, 1)}
	result, p, to := r.attempt.result, r.nb.config(), r.nb.addr
	go func() {
		nc, err := r.nb.sp.connect(ctx, p, netip.AddrPortFrom(to, p.Port))
		result <- dialResult{nc, err}
	}()
}

// hangUp gives a dial up; it returns at once when its context is done.
func (r *runner) hangUp() {
	if r.attempt == nil {
		return
	}
	r.attempt.cancel()
	if d := <-r.attempt.result; d.nc != nil {
		_ = d.nc.Close()
	}
	r.attempt = nil
	r.nb.sp.release()
}

func (r *runner) dialEnded(ctx context.Context, d dialResult) {
	r.attempt.cancel()
	r.attempt = nil
	if d.err != nil {
		r.nb.sp.release()
		r.nb.failed(d.err.Error())
		r.step(ctx, input{event: evTCPFails})
		return
	}
	r.connected(ctx, d.nc, addrPort(d.nc.LocalAddr()), addrPort(d.nc.RemoteAddr()), true)
}

// dialTCP is how connections are made.
func (s *Speaker) dialTCP(ctx context.Context, p *Peer, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{ControlContext: func(_ context.Context, _, _ string, raw syscall.RawConn) error {
		return s.protect.dialer(raw, p, to)
	}}
	d.SetMultipathTCP(false)
	if p.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Source, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// addrPort returns an address without the form of IPv4 in IPv6; it is invalid for
// what is no TCP address.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
