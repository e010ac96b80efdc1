package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// TCP-AO (RFC 5925) in Linux 6.7 and later; x/sys does not have these yet.
const (
	tcpAOAddKey = 38 // TCP_AO_ADD_KEY
	tcpAODelKey = 39 // TCP_AO_DEL_KEY
	tcpAOInfo   = 40 // TCP_AO_INFO

	aoAlgorithmLen = 64
	aoMaxKeyLen    = 80 // TCP_AO_MAXKEYLEN
	aoMACLen       = 12 // of both algorithms (RFC 5926 §3.2)
	aoAddLen       = 288
	aoDelLen       = 144
	aoInfoLen      = 48
)

// aoAlgorithms are those of RFC 5926 under their names in the kernel, which
// derives the traffic keys itself.
var aoAlgorithms = map[string]string{
	"":                "hmac(sha1)",
	"hmac-sha-1-96":   "hmac(sha1)",
	"aes-128-cmac-96": "cmac(aes128)",
}

// checkAO reports keys of a peer that cannot work, without naming their secrets.
func checkAO(p *Peer) error {
	sends, receives := map[uint8]bool{}, map[uint8]bool{}
	for _, k := range p.AO {
		switch {
		case aoAlgorithms[k.Algorithm] == "":
			return fmt.Errorf("speaker: peer %s: TCP-AO knows hmac-sha-1-96 and aes-128-cmac-96, not %q", p.Name, k.Algorithm)
		case k.Key == "" || len(k.Key) > aoMaxKeyLen:
			return fmt.Errorf("speaker: peer %s: a TCP-AO key has 1 to %d octets", p.Name, aoMaxKeyLen)
		case sends[k.SendID] || receives[k.RecvID]:
			// RFC 5925 §3.1: the IDs of keys for one connection must not overlap.
			return fmt.Errorf("speaker: peer %s: two TCP-AO keys have the same id (send %d, receive %d)", p.Name, k.SendID, k.RecvID)
		}
		sends[k.SendID], receives[k.RecvID] = true, true
	}
	if len(p.AO) > 0 && p.Password != "" {
		return fmt.Errorf("speaker: peer %s: a password and TCP-AO keys exclude each other", p.Name)
	}
	return nil
}

// aoAdd is a struct tcp_ao_add. Neither current nor next key are chosen: the
// kernel refuses both on a listener, and takes the first key elsewhere.
func aoAdd(f form, at netip.Prefix, k AOKey) []byte {
	addr := f.sockaddr(at.Addr())
	b := append(make([]byte, 0, aoAddLen), addr[:]...)
	b = append(b, aoAlgorithms[k.Algorithm]...)
	b = append(b, make([]byte, sockaddrLen+aoAlgorithmLen-len(b))...)
	b = append(b, 0, 0, 0, 0) // s32 ifindex
	b = append(b, 0, 0, 0, 0) // set_current:1 set_rnext:1 reserved:30
	b = append(b, 0, 0)       // u16 reserved2
	b = append(b, uint8(at.Bits()), k.SendID, k.RecvID, aoMACLen, 0 /* keyflags */, uint8(len(k.Key)))
	b = append(b, k.Key...)
	return append(b, make([]byte, aoAddLen-len(b))...)
}

// aoDel is a struct tcp_ao_del.
func aoDel(f form, at netip.Prefix, k AOKey) []byte {
	addr := f.sockaddr(at.Addr())
	b := append(make([]byte, 0, aoDelLen), addr[:]...)
	b = append(b, 0, 0, 0, 0) // s32 ifindex
	b = append(b, 0, 0, 0, 0) // set_current:1 set_rnext:1 del_async:1 reserved:29
	b = append(b, 0, 0)       // u16 reserved2
	// Without set_current and set_rnext, current_key and rnext say nothing.
	return append(b, uint8(at.Bits()), k.SendID, k.RecvID, 0 /* current_key */, 0 /* rnext */, 0 /* keyflags */)
}

var errNoAO = errors.New("this kernel has no TCP-AO (RFC 5925): it needs Linux 6.7 or later with CONFIG_TCP_AO")

func addAO(fd int, f form, at netip.Prefix, k AOKey) error {
	err := setBytes(fd, unix.IPPROTO_TCP, tcpAOAddKey, aoAdd(f, at, k))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("%w: %w", errNoAO, err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("this kernel has no %s for TCP-AO: %w", aoAlgorithms[k.Algorithm], err)
	case errors.Is(err, unix.EINVAL) && at.Addr().IsUnspecified():
		// ::/0 is taken, 0.0.0.0/0 on IPv4 sockets too, other ranges of zeros never.
		return fmt.Errorf("the kernel takes no TCP-AO key for the range %s on this socket; narrower ranges it takes: %w", at, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("a TCP-AO key with the id (send %d, receive %d) is there for an address that overlaps: %w", k.SendID, k.RecvID, err)
	}
	return os.NewSyscallError("setsockopt TCP_AO_ADD_KEY", err)
}

func delAO(fd int, f form, at netip.Prefix, k AOKey) error {
	err := setBytes(fd, unix.IPPROTO_TCP, tcpAODelKey, aoDel(f, at, k))
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return os.NewSyscallError("setsockopt TCP_AO_DEL_KEY", err)
}

// withNew returns have and the keys of more whose ids are free.
func withNew(have, more []AOKey) []AOKey {
	all := slices.Clone(have)
	for _, k := range more {
		taken := func(o AOKey) bool { return o.SendID == k.SendID || o.RecvID == k.RecvID }
		if !slices.ContainsFunc(all, taken) {
			all = append(all, k)
		}
	}
	return all
}

// checkSigned refuses an accepted connection that has no TCP-AO. Between the
// deletion of a key from a listener and the next one there is a moment in which
// it would be taken.
func checkSigned(fd int) error {
	info := make([]byte, aoInfoLen)
	if _, err := getBytes(fd, unix.IPPROTO_TCP, tcpAOInfo, info); err != nil {
		return fmt.Errorf("the connection is not signed with TCP-AO: %w", err)
	}
	return nil
}
