// Package schema holds what AWS's models say about the Go types in gen: how
// each member is called on the wire, where it goes, and what is allowed in it.
//
// A service's shapes are one flat table; shapes name each other by index. A
// structure's members stand in the order of the fields of its Go struct, so
// member i is field i. Package wire reads the tables to decode and encode;
// Validate checks a decoded value against them. The tables are never written
// to after the program has been linked.
//
// It parses no model files (hack/awsgen does) and knows no protocol.
package schema

// A Kind says which Go type a shape has.
type Kind uint8

// The kinds, and the Go types of members of that kind.
const (
	Structure Kind = iota // *T
	List                  // []T
	Map                   // map[string]T
	String                // *string
	Boolean               // *bool
	Integer               // *int32
	Long                  // *int64
	Float                 // *float64
	Timestamp             // *time.Time
	Blob                  // []byte
)

// A Location says where in a request or response a member is.
type Location uint8

// Locations; only rest protocols have others than Body.
const (
	Body Location = iota
	URI
	Querystring
	Header
	Headers // a map, by prefix
	StatusCode
)

// A Shape is one type of a model.
type Shape struct {
	Name      string // the model's; "" for scalars
	Kind      Kind
	HasMin    bool // length of strings, blobs, lists and maps; value of numbers
	HasMax    bool
	Flattened bool // lists and maps, in XML and queries
	Exception bool
	Min, Max  float64
	Pattern   string
	Enum      []string
	Members   []Member // Structure
	Key       Member   // Map
	Elem      Member   // List, Map
	Payload   string   // Structure: the member that is the whole body
}

// A Member is a member of a structure, or the elements of a list or a map.
type Member struct {
	Name     string // the model's; the Go field is the same with a capital
	Wire     string // locationName; "" = none
	Query    string // queryName
	Shape    int    // of the service's table
	In       Location
	Required bool
	Token    bool // an idempotency token: clients fill it in
}

// WireName is the name of the member in XML and JSON documents.
func (m *Member) WireName() string {
	if m.Wire != "" {
		return m.Wire
	}
	return m.Name
}
