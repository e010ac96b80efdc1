//go:build drill

package drill

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// quickly makes a broker that was killed come back without waiting long for the
// session that it had.
func quickly(properties map[string]string) map[string]string {
	properties["broker.heartbeat.interval.ms"], properties["broker.session.timeout.ms"] = "200", "1000"
	return properties
}

// TestKafkaDiskFull: a broker with a disk that is full gives the log directory
// there up, and with it a part of the topic. That it began so is said as long as
// it lasts. It gets everything, once, when it is started again with room.
func TestKafkaDiskFull(t *testing.T) {
	disk, other := smallDisk(t, "60"), smallDisk(t, "60")
	// With one directory alone the broker ends, perhaps before it answers.
	broker := kafkatest.Own(t, quickly(map[string]string{
		"log.dirs": filepath.Join(disk, "data") + "," + filepath.Join(other, "data"), "metadata.log.dir": t.TempDir(),
		"log.index.size.max.bytes": "4096",
	}))
	const topic = "full"
	p := newPatient(t, "RIBTAP_SINKS_KAFKA_BROKERS="+broker.Addr, "RIBTAP_SINKS_KAFKA_TOPIC="+topic, "RIBTAP_SINKS_KAFKA_PARTITIONS=1")
	p.settle(p.sent, limit)
	if _, err := os.Stat(filepath.Join(disk, "data", topic+"-0")); err != nil {
		disk = other // the broker chose that one
	}
	release := fill(t, disk)
	p.speak(3000)
	p.ails("kafka", "leader", "it began with", "Kafka Storage Error", "the broker cannot write: is its disk full?")
	if p.metric(`ribtap_sink_retries_total{reason="disk",sink="kafka"}`) == 0 {
		t.Error("no disk in the metrics")
	}
	release()
	broker.Kill(t)
	broker.Restart(t)
	p.recovers("kafka")
	p.stop()
	agreeKafka(t, p.dir, broker.Consume(t, topic))
}
