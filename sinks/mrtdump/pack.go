package mrtdump

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// packBuffer is the size of writes to finished files.
	packBuffer = 64 << 10
	gzipLevel  = 6
)

// packer writes a compressed file under a temporary name.
type packer struct {
	disk disk
	name string
	f    file
	out  *io.OffsetWriter
	buf  *bufio.Writer
	z    io.WriteCloser
}

func newPacker(d disk, name, compression string) (*packer, error) {
	f, err := d.Open(name, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	p := &packer{disk: d, name: name, f: f, out: io.NewOffsetWriter(f, 0)}
	p.buf = bufio.NewWriterSize(p.out, packBuffer)
	switch compression {
	case CompressionGzip:
		p.z, err = gzip.NewWriterLevel(p.buf, gzipLevel)
	case CompressionZstd:
		p.z, err = zstd.NewWriter(p.buf, zstd.WithEncoderConcurrency(1))
	default:
		p.z = plain{p.buf}
	}
	if err != nil {
		p.abandon()
		return nil, err
	}
	return p, nil
}

// plain is no compression.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

func (p *packer) Write(b []byte) (int, error) { return p.z.Write(b) }

// finish makes the file whole and durable and gives it its name. On an error
// nothing of it is left, and it may be packed again.
func (p *packer) finish(name string) (octets int64, err error) {
	defer p.abandon()
	err = p.z.Close()
	if err == nil {
		err = p.buf.Flush()
	}
	if err == nil {
		octets, err = p.out.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		err = p.f.Sync()
	}
	if err == nil {
		err = p.disk.Rename(p.name, name)
	}
	if err != nil {
		return 0, err
	}
	err = errors.Join(p.f.Close(), p.disk.SyncDir(filepath.Dir(name)))
	p.f = nil
	return octets, err
}

// abandon removes a file that will not be finished; after finish it does nothing.
func (p *packer) abandon() {
	if p.f != nil {
		_ = p.f.Close()           // nothing of it is wanted
		_ = p.disk.Remove(p.name) // else the next start does it
		p.f = nil
	}
}
