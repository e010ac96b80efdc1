package speaker

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// maxTTL is what GTSM has everybody send (RFC 5082 §3).
const maxTTL = 255

// keepSYN has the kernel keep the SYN of each connection that the listener takes,
// for synTTL, and answer with the greatest TTL. The TTL of the answer belongs to
// the listener and not to the neighbour, so all get it; it harms nobody.
func keepSYN(fd int, f form) error {
	if err := setInt(fd, unix.IPPROTO_TCP, unix.TCP_SAVE_SYN, "TCP_SAVE_SYN", 1); err != nil {
		return err
	}
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if f.carries(a) {
			if err := sendTTL(fd, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSYN refuses a connection whose SYN came with a TTL or hop limit below
// least. Setting a least TTL on an accepted connection alone is too late: what
// came with the handshake has been taken by then.
func checkSYN(fd int, least uint8) error {
	ttl, err := synTTL(fd)
	if err != nil {
		return err
	}
	if ttl < least {
		return fmt.Errorf("the connection came with TTL %d, below %d (RFC 5082)", ttl, least)
	}
	return nil
}

// synTTL reads the TTL of the SYN that opened an accepted connection. The kernel
// gives the SYN away once.
func synTTL(fd int) (uint8, error) {
	var header [512]byte // IP and TCP headers with all options
	n, err := getBytes(fd, unix.IPPROTO_TCP, unix.TCP_SAVED_SYN, header[:])
	if err != nil {
		return 0, os.NewSyscallError("getsockopt TCP_SAVED_SYN", err)
	}
	return ttlOf(header[:n])
}

func ttlOf(header []byte) (uint8, error) {
	switch {
	case len(header) == 0:
		// With SYN cookies there is no SYN any more when the connection opens.
		// Without evidence the neighbour counts as far away.
		return 0, fmt.Errorf("the kernel has not kept the SYN, so its TTL is not known (SYN cookies during a flood, or taken before)")
	case header[0]>>4 == 4 && len(header) >= 20:
		return header[8], nil
	case header[0]>>4 == 6 && len(header) >= 40:
		return header[7], nil
	}
	return 0, fmt.Errorf("a saved SYN of %d octets is neither IPv4 nor IPv6", len(header))
}

// setMinTTL has the kernel drop what comes from remote with a smaller TTL or hop
// limit (0: nothing), and sends with the greatest.
func setMinTTL(fd int, remote netip.Addr, least uint8) error {
	var err error
	if remote.Unmap().Is4() { // on IPv6 sockets too
		err = setInt(fd, unix.SOL_IP, unix.IP_MINTTL, "IP_MINTTL", int(least))
	} else {
		err = setInt(fd, unix.SOL_IPV6, unix.IPV6_MINHOPCOUNT, "IPV6_MINHOPCOUNT", int(least))
	}
	if err != nil || least == 0 {
		return err
	}
	return sendTTL(fd, remote)
}

func sendTTL(fd int, remote netip.Addr) error {
	if remote.Unmap().Is4() {
		return setInt(fd, unix.SOL_IP, unix.IP_TTL, "IP_TTL", maxTTL)
	}
	return setInt(fd, unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS", maxTTL)
}
