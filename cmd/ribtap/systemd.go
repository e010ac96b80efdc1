package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// inherited are the listening sockets that systemd opened and handed over
// (sd_listen_fds(3)). They outlive the process: a router that connects while it
// restarts waits, and is not refused.
type inherited struct {
	mu   sync.Mutex
	list []net.Listener
}

// inherit takes the sockets over, if there are any.
func inherit() (*inherited, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets of systemd: %w", err)
	}
	// What is no listening stream is nil.
	return &inherited{list: slices.DeleteFunc(all, func(l net.Listener) bool { return l == nil })}, nil
}

// take gives the socket for an address of the configuration, once; nil if there is
// none.
func (i *inherited) take(address string) net.Listener {
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, l := range i.list {
		if sameListen(address, l.Addr().String()) {
			i.list = slices.Delete(i.list, k, k+1)
			return l
		}
	}
	return nil
}

// rest warns of sockets that no address of the configuration wanted, and closes them.
func (i *inherited) rest(log *slog.Logger) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range i.list {
		log.Warn("systemd opened a socket that no listen address is for; it is closed", "address", l.Addr().String())
		_ = l.Close()
	}
	i.list = nil
}

// sameListen reports whether two addresses with port are the same to listen on. A
// wildcard of IPv6 takes IPv4, too.
func sameListen(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB {
		return false
	}
	wildcard := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	if wildcard(hostA) || wildcard(hostB) {
		return wildcard(hostA) && wildcard(hostB)
	}
	ipA, errA := netip.ParseAddr(hostA)
	ipB, errB := netip.ParseAddr(hostB)
	return errA == nil && errB == nil && ipA.Unmap() == ipB.Unmap()
}

// tellSystemd tells the service manager a state (sd_notify(3)); without one it does
// nothing.
func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd is not told", "state", state, "error", err)
	}
}

// watchSystemd tells systemd that all is well, twice in the time it waits, as long as
// alive returns. A daemon that hangs is ended and started again.
func watchSystemd(ctx context.Context, log *slog.Logger, alive func() string) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("systemd's watchdog: %w", err)
	}
	if every == 0 {
		every = time.Minute // no watchdog, but a line in systemctl status
	}
	t := time.NewTicker(every / 2)
	defer t.Stop()
	for {
		tellSystemd(log, "STATUS="+alive()+"\n"+daemon.SdNotifyWatchdog)
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}
