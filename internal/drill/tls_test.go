//go:build drill

package drill

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// file writes a file that goes away with the test.
func file(t *testing.T, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPostgresCertificate: a server that comes back with a certificate which does
// not verify, or without TLS, is not written to until it has a right one again.
func TestPostgresCertificate(t *testing.T) {
	server := postgrestest.StartServer(t)
	cert, key := kafkatest.Certificate(t)
	port := server.ServeTLS(t, cert, key)
	dsn := server.Database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {file(t, cert)}}.Encode()
	p := newPatient(t, "RIBTAP_SINKS_POSTGRES_DSN="+u.String())
	p.settle(p.sent, limit)

	otherCert, otherKey := kafkatest.Certificate(t)
	server.ServeTLS(t, otherCert, otherKey)
	p.speak(500)
	p.ails("postgres", "tls", u.Host, "TLS: x509: certificate signed by unknown authority", "check sslmode, sslrootcert and the server's certificate")
	server.ServeTLS(t, cert, key)
	p.recovers("postgres")
	p.stop()
	agreePostgres(t, p.dir, dsn)
}

// TestKafkaCertificate: as a database's, so a broker's certificate.
func TestKafkaCertificate(t *testing.T) {
	port, err := kafkatest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	cert, key := kafkatest.Certificate(t)
	otherCert, otherKey := kafkatest.Certificate(t)
	right, wrong := slices.Concat(key, cert), slices.Concat(otherKey, otherCert)
	store := file(t, right)
	broker := kafkatest.Own(t, quickly(map[string]string{
		"+listeners": "SSL://" + addr, "+advertised.listeners": "SSL://" + addr, "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
	}))
	const topic = "certificate"
	p := newPatient(t, "RIBTAP_SINKS_KAFKA_BROKERS="+addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic,
		"RIBTAP_SINKS_KAFKA_TLS_ENABLED=true", "RIBTAP_SINKS_KAFKA_TLS_CA="+file(t, cert))
	p.settle(p.sent, limit)
	restart := func(content []byte) {
		broker.Kill(t)
		if err := os.WriteFile(store, content, 0o600); err != nil {
			t.Fatal(err)
		}
		broker.Restart(t)
	}
	restart(wrong)
	p.speak(500)
	p.ails("kafka", "tls", topic, "certificate signed by unknown authority", "set tls.ca to the authority of the broker's certificate")
	restart(right)
	p.recovers("kafka")
	p.stop()
	agreeKafka(t, p.dir, broker.Consume(t, topic))
}
