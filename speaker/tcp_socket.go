package speaker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// form is what a socket is to the kernel, which decides how the addresses of its
// keys are written and which neighbours can reach it.
type form struct {
	domain   int // unix.AF_INET or unix.AF_INET6
	only6    bool
	protocol int
}

// formOf asks the socket itself: what it was meant to be does not protect anyone.
func formOf(fd int) (form, error) {
	var f form
	var err error
	if f.domain, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil {
		return f, os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	if f.protocol, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil {
		return f, os.NewSyscallError("getsockopt SO_PROTOCOL", err)
	}
	if f.domain == unix.AF_INET6 {
		only, err := unix.GetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY)
		if err != nil {
			return f, os.NewSyscallError("getsockopt IPV6_V6ONLY", err)
		}
		f.only6 = only != 0
	}
	return f, f.check()
}

var errMPTCP = errors.New("the socket is Multipath TCP, which can be protected neither by keys nor by GTSM, " +
	"and lets unprotected neighbours in: open it with net.ListenConfig.SetMultipathTCP(false)")

// check refuses sockets that cannot be protected. Go opens Multipath TCP
// listeners unless told otherwise.
func (f form) check() error {
	switch f.protocol {
	case unix.IPPROTO_TCP:
		return nil
	case unix.IPPROTO_MPTCP:
		return errMPTCP
	}
	return fmt.Errorf("the socket is of protocol %d, which is not TCP", f.protocol)
}

// carries reports whether a neighbour with this address can use the socket.
func (f form) carries(a netip.Addr) bool {
	if a.Unmap().Is4() {
		return f.domain == unix.AF_INET || !f.only6
	}
	return f.domain == unix.AF_INET6
}

const sockaddrLen = 128 // of struct sockaddr_storage

// sockaddr is the sockaddr_storage of an address without port: an IPv4 address on
// an IPv6 socket is v4-mapped, anything else is EINVAL.
func (f form) sockaddr(a netip.Addr) [sockaddrLen]byte {
	var b [sockaddrLen]byte
	binary.NativeEndian.PutUint16(b[:], uint16(f.domain))
	if f.domain == unix.AF_INET {
		v4 := a.Unmap().As4()
		copy(b[4:], v4[:]) // behind the port
		return b
	}
	v6 := a.As16()
	copy(b[8:], v6[:]) // behind port and flow label
	return b
}

// control runs f with the descriptor. A socket that is closed is net.ErrClosed.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var err error
	if closed := raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return closed
	}
	return err
}

// setInt sets an option and reads it back: kernels, sandboxes and protocols exist
// that say yes and do nothing.
func setInt(fd, level, option int, name string, value int) error {
	if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
		return os.NewSyscallError("setsockopt "+name, err)
	}
	got, err := unix.GetsockoptInt(fd, level, option)
	if err != nil {
		return os.NewSyscallError("getsockopt "+name, err)
	}
	if got != value {
		return fmt.Errorf("%s is %d after it was set to %d", name, got, value)
	}
	return nil
}

// setBytes sets an option that is a struct.
func setBytes(fd, level, option int, value []byte) error {
	return unix.SetsockoptString(fd, level, option, string(value))
}

// getBytes reads an option that is octets, and returns how many there are. What
// x/sys has for this ends at the first zero.
func getBytes(fd, level, option int, into []byte) (int, error) {
	n := uint32(len(into))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&into[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
