package drill

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ribtap/ribtap/bmp"
)

// BenchmarkTable sends a full table to `ribtap run` over loopback TCP and waits
// until the stream, the SQL history and the MRT archive have it. x-floor is the
// CPU time in units of what it takes to cut the same octets off a socket into
// BMP messages and to do nothing with them.
func BenchmarkTable(b *testing.B) {
	table := newTable(0, scale(50_000, 1_000_000), scale(10_000, 230_000))
	octets := table.AppendTable(table.AppendOpen(nil, routerName(0)))
	n := float64(table.Len())
	for b.Loop() {
		floor := time.Hour
		for range 10 { // the least, because others share the machine
			floor = min(floor, framingCPU(b, octets))
		}
		d := start(b, filepath.Join(b.TempDir(), "data"))
		cpu := d.cpu()
		begin := time.Now()
		conn := connect(b, d.bmp)
		sent := send(b, conn, octets)
		d.hears(sent, 5*time.Minute)
		b.ReportMetric(n/time.Since(begin).Seconds(), "stream-routes/s")
		d.settle(sent, 5*time.Minute)
		b.ReportMetric(n/time.Since(begin).Seconds(), "routes/s")
		cpu = d.cpu() - cpu
		b.ReportMetric(cpu.Seconds(), "cpu-s")
		b.ReportMetric(n/cpu.Seconds(), "routes/cpu-s")
		b.ReportMetric(float64(d.peakRSS())/1e6, "peak-MB")
		b.ReportMetric(float64(cpu)/float64(floor), "x-floor")
		d.stop()
		for name, pattern := range map[string]string{"stream": "stream", "sqlite": "history.db*", "mrt": "mrt"} {
			parts, err := filepath.Glob(filepath.Join(d.dir, pattern))
			if err != nil {
				b.Fatal(err)
			}
			size := int64(0)
			for _, part := range parts {
				size += sizeOf(b, part)
			}
			b.ReportMetric(float64(size)/n, name+"-B/route")
		}
	}
	b.ReportMetric(n, "routes")
	b.ReportMetric(0, "ns/op") // the time of a start and a stop says nothing
}

// cpu is the processor time that the daemon has used.
func (d *daemon) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		d.tb.Fatal(err)
	}
	// Behind the name, which may contain anything: see proc_pid_stat(5).
	_, rest, _ := strings.Cut(string(text), ") ")
	const utime, stime, tick = 14 - 3, 15 - 3, 10 * time.Millisecond
	field := strings.Fields(rest)
	user, err1 := strconv.Atoi(field[utime])
	system, err2 := strconv.Atoi(field[stime])
	if err := errors.Join(err1, err2); err != nil {
		d.tb.Fatal(err)
	}
	return time.Duration(user+system) * tick
}

// framingCPU is the processor time that reading the octets from a socket, message
// by message, takes.
func framingCPU(b *testing.B, octets []byte) time.Duration {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	sent := make(chan error, 1)
	go func() {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			_, err = conn.Write(octets)
			err = errors.Join(err, conn.Close())
		}
		sent <- err
	}()
	conn, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	// One thread does all of it, so that its time is that of the work.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadCPU(b)
	for rd := bmp.NewReader(conn, 0); err == nil; {
		_, err = rd.Next()
	}
	used := threadCPU(b) - begin
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
	if !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	return used
}

// threadCPU is the processor time of this thread. getrusage(2) counts in ticks,
// which are longer than what is measured.
func threadCPU(b *testing.B) time.Duration {
	b.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
