package speaker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// setMD5 sets the key of TCP MD5 (RFC 2385) for a prefix, in place of one that is
// there; an empty password deletes it, and there being none is no error. A
// listening socket needs it before the SYN comes, a dialling one before its own.
func setMD5(fd int, f form, at netip.Prefix, password string) error {
	addr := f.sockaddr(at.Addr())
	s := unix.TCPMD5Sig{Keylen: uint16(len(password))}
	s.Addr.Family = binary.NativeEndian.Uint16(addr[:])
	copy(s.Addr.Data[:], addr[2:])
	copy(s.Key[:], password)
	option := unix.TCP_MD5SIG
	if !at.IsSingleIP() {
		option = unix.TCP_MD5SIG_EXT
		s.Flags = unix.TCP_MD5SIG_FLAG_PREFIX
		s.Prefixlen = uint8(at.Bits()) // in bits of IPv4 for a v4-mapped address too
	}
	err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, option, &s)
	switch {
	case err == nil:
		return nil
	case password == "" && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOPROTOOPT)):
		return nil // there is none, or there are none at all
	case errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("the kernel has no TCP MD5 (CONFIG_TCP_MD5SIG): %w", err)
	}
	return os.NewSyscallError("setsockopt TCP_MD5SIG", err)
}

// What a key costs of net.core.optmem_max, measured: 963 passwords or 630 keys of
// TCP-AO fit into 131072 octets.
const (
	keyMemory   = 136
	keyMemoryAO = 208
)

// memoryError says what to do about ENOMEM: keys of one socket are charged to a
// limit that few have heard of.
func memoryError(err error, ring keyring) error {
	if !errors.Is(err, unix.ENOMEM) {
		return err
	}
	need := 1
	for _, k := range ring {
		need += len(k.ao) * keyMemoryAO
		if k.password != "" {
			need += keyMemory
		}
	}
	return fmt.Errorf("%d keys do not fit into net.core.optmem_max%s: set that sysctl to %d at least, "+
		"or configure a range of addresses with one password, which takes one key: %w", len(ring), optmem(), need, err)
}

func optmem() string {
	b, err := os.ReadFile("/proc/sys/net/core/optmem_max")
	if err != nil {
		return ""
	}
	return " = " + strings.TrimSpace(string(b))
}

// CheckMD5 reports why the kernel would not protect a session with TCP MD5 (RFC
// 2385); nil if it would.
func CheckMD5() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	f, err := formOf(fd)
	if err != nil {
		return err
	}
	return setMD5(fd, f, netip.MustParsePrefix("127.0.0.1/32"), "doctor")
}
