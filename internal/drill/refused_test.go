//go:build drill

package drill

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
	"github.com/ribtap/ribtap/sinks/postgres/postgrestest"
)

// secured are the properties of a broker on which a user with a password, on a
// listener of its own, may do what ACLs say, and everybody else everything.
func secured(t *testing.T, user, password string) (addr string, properties map[string]string) {
	t.Helper()
	port, err := kafkatest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	return addr, map[string]string{
		"+listeners": "SASL_PLAINTEXT://" + addr, "+advertised.listeners": "SASL_PLAINTEXT://" + addr,
		"sasl.enabled.mechanisms": "PLAIN",
		"authorizer.class.name":   "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":             "User:ANONYMOUS",
		"listener.name.sasl_plaintext.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required user_" + user + `="` + password + `";`,
	}
}

// TestKafkaPermission: a user whose password is wrong is refused, and ribtap runs
// all the same. One that may not write to the topic, when ribtap starts and later,
// is a sink that lags and says what is missing, until it is granted.
func TestKafkaPermission(t *testing.T) {
	addr, properties := secured(t, "rt", "secret")
	broker := kafkatest.Own(t, properties)
	const topic = "permission"
	as := func(password, topic string) []string {
		return []string{
			"RIBTAP_SINKS_KAFKA_BROKERS=" + addr, "RIBTAP_SINKS_KAFKA_TOPIC=" + topic,
			"RIBTAP_SINKS_KAFKA_SASL_MECHANISM=plain", "RIBTAP_SINKS_KAFKA_SASL_USERNAME=rt", "RIBTAP_SINKS_KAFKA_SASL_PASSWORD=" + password,
		}
	}
	const other = "permitted"
	broker.Allow(t, "rt", other, kafkatest.Create, kafkatest.Describe, kafkatest.Read, kafkatest.Write)
	newPatientIn(t, acquainted(t, as("secret", other)...), as("wrong", topic)...).
		ails("kafka", "auth", addr, "SASL Authentication Failed", "check sasl.username and the password")
	p := newPatientIn(t, acquainted(t, as("secret", other)...), as("secret", topic)...)
	words := []string{topic, "Topic Authorization Failed", "the user needs Describe and Write on the topic"}
	p.ails("kafka", "permission", words...)
	broker.Allow(t, "rt", topic, kafkatest.Create, kafkatest.Describe, kafkatest.Read, kafkatest.Write)
	p.recovers("kafka")

	broker.Forbid(t, "rt", topic, kafkatest.Write)
	p.speak(500)
	p.ails("kafka", "permission", words...)
	broker.Allow(t, "rt", topic, kafkatest.Write)
	p.recovers("kafka")
	p.stop()
	agreeKafka(t, p.dir, broker.Consume(t, topic))
}

// writerGrants are those of docs/operations.md.
var writerGrants = []string{
	"GRANT USAGE ON SCHEMA public TO writer", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO writer",
	"GRANT INSERT, UPDATE, DELETE ON collector, cause, rib_name, family, router, peer, rib, speaker, attr, route_change, route_base, " +
		"horizon, route, peer_event, router_event, peer_stat, gap, import, anomaly, kafka_partition, kafka_sequence TO writer",
	"GRANT EXECUTE ON FUNCTION add_partition(date), detach_partition(date), drop_partitions() TO writer",
}

// TestPostgresRefuses: a role that loses a right, and then its password, while
// ribtap writes, is a sink that lags and says so, until it is put right.
func TestPostgresRefuses(t *testing.T) {
	server := postgrestest.StartServer(t)
	dsn := server.Database(t)
	migrate := command(t, t.TempDir(), "migrate")
	migrate.Env = append(migrate.Env, "RIBTAP_SINKS_POSTGRES_DSN="+dsn)
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("ribtap migrate: %v\n%s", err, out)
	}
	admin(t, dsn, append([]string{"CREATE ROLE writer LOGIN PASSWORD 'right'"}, writerGrants...)...)
	server.RequirePassword(t, "writer")
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("writer", "right")
	p := newPatient(t, "RIBTAP_SINKS_POSTGRES_DSN="+u.String())
	p.settle(p.sent, limit)

	admin(t, dsn, "REVOKE INSERT ON route_change, attr FROM writer")
	p.speak(500)
	p.ails("postgres", "permission", "writer", "permission denied for table", "grant it as in docs/operations.md")
	admin(t, dsn, writerGrants...)
	p.recovers("postgres")

	admin(t, dsn, "ALTER ROLE writer PASSWORD 'another'", "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'writer'")
	p.speak(500)
	p.ails("postgres", "auth", "refuses user", "password authentication failed", "check the user, the password and pg_hba.conf")
	admin(t, dsn, "ALTER ROLE writer PASSWORD 'right'")
	p.recovers("postgres")
	p.stop()
	agreePostgres(t, p.dir, dsn)
}
