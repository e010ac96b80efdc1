package kafka

import (
	"strings"

	"github.com/ribtap/ribtap/event"
)

// Schemas in the records' headers. The number changes when a reader of the
// one before would go wrong.
const (
	schemaJSON     = "ribtap.event.json/1"
	schemaProtobuf = "ribtap.v1.Event"
	schemaState    = "ribtap.route.json/1"
	schemaOBMP     = "openbmp.bmp_raw/1.7"
	schemaGoBMP    = "gobmp.json"
	schemaOversize = "ribtap.oversize.json/1"
)

// format turns events into records. It keeps memory between events, so that it
// allocates nothing in the long run.
type format interface {
	append(e *event.Event, out *builder)
}

// newFormat returns what cfg asks for, and the topics by the numbers that it
// emits records to.
func newFormat(cfg *Config, m *metrics) (format, []topicSpec) {
	keys := newKeys(cfg.Collector)
	var f format
	var topics []topicSpec
	switch cfg.Format {
	case FormatProtobuf:
		f, topics = &protoFormat{keys: keys, enc: event.ProtoEncoder{Collector: cfg.Collector}}, []topicSpec{{name: cfg.Topic, schema: schemaProtobuf}}
	case FormatOBMPRaw:
		f, topics = newOBMPFormat(cfg.Collector, m), []topicSpec{{name: cfg.Topic, schema: schemaOBMP}}
	case FormatGoBMPJSON:
		f, topics = newGoBMPFormat(m), goBMPTopics(cfg.TopicPrefix)
	default:
		f, topics = &jsonFormat{keys: keys, enc: event.Encoder{Raw: cfg.Raw}}, []topicSpec{{name: cfg.Topic, schema: schemaJSON}}
	}
	if cfg.TopicState == "" {
		return f, topics
	}
	topics = append(topics, topicSpec{name: cfg.TopicState, schema: schemaState, compact: true})
	return &both{f, newStateFormat(cfg.Collector, len(topics)-1, m)}, topics
}

type both struct{ a, b format }

func (f *both) append(e *event.Event, out *builder) {
	f.a.append(e, out)
	f.b.append(e, out)
}

// jsonFormat has one record for each event, with the JSON of docs/events.md.
type jsonFormat struct {
	keys  *keys
	enc   event.Encoder
	value []byte
}

func (f *jsonFormat) append(e *event.Event, out *builder) {
	f.value = f.enc.Append(f.value[:0], e)
	out.emit(0, f.keys.of(e.Router), f.value)
}

// maxCached bounds a cache by pointer, which fills with every reconnect.
const maxCached = 1 << 13

// keys makes the keys of events: "collector|router|address", which all sessions
// of a router share, so that the next session's events come behind those of the
// one before. An event without a router has "collector".
type keys struct {
	collector string
	known     map[*event.Router][]byte
	none      []byte
}

func newKeys(collector string) *keys {
	c := clean(collector)
	return &keys{collector: c, known: map[*event.Router][]byte{}, none: []byte(c)}
}

func (k *keys) of(r *event.Router) []byte {
	if r == nil {
		return k.none
	}
	if b := k.known[r]; b != nil {
		return b
	}
	if len(k.known) >= maxCached {
		clear(k.known)
	}
	b := []byte(k.collector + "|" + clean(r.Name) + "|")
	if r.Address.IsValid() {
		b = r.Address.AppendTo(b)
	}
	k.known[r] = b
	return b
}

// clean makes a text a part of a key: the separator and the escape are written
// as in a URL.
var clean = strings.NewReplacer("%", "%25", "|", "%7C").Replace
