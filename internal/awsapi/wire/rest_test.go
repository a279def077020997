package wire_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/internal/awsapi/schema"
	"ekster.dev/ekster/internal/awsapi/wire"
)

// places has a member in each place that a rest protocol knows; no service in
// gen uses all of them.
type places struct {
	Label   *string
	Since   *time.Time
	Names   []string
	Size    *int64
	Meta    map[string]string
	Code    *int32
	Content []byte
}

var placesTable = []schema.Shape{
	{Kind: schema.Structure, Payload: "content", Members: []schema.Member{
		{Name: "label", Shape: 1, In: schema.URI, Wire: "l"},
		{Name: "since", Shape: 2, In: schema.Querystring},
		{Name: "names", Shape: 3, In: schema.Querystring, Wire: "name"},
		{Name: "size", Shape: 4, In: schema.Header, Wire: "X-Size"},
		{Name: "meta", Shape: 5, In: schema.Headers, Wire: "X-Meta-"},
		{Name: "code", Shape: 6, In: schema.StatusCode},
		{Name: "content", Shape: 7},
	}},
	{Kind: schema.String}, {Kind: schema.Timestamp}, {Kind: schema.List, Elem: schema.Member{Shape: 1}}, {Kind: schema.Long},
	{Kind: schema.Map, Key: schema.Member{Shape: 1}, Elem: schema.Member{Shape: 1}}, {Kind: schema.Integer}, {Kind: schema.Blob},
}

func TestREST(t *testing.T) {
	types, err := schema.Compile(placesTable)
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte{0, 1, 2}
	var got places
	err = wire.DecodeREST(&types[0], &wire.REST{
		Labels: map[string]string{"l": "a/b"}, Query: url.Values{"since": {"2023-11-14T22:13:20Z"}, "name": {"x", "y"}},
		Header: http.Header{"X-Size": {"7"}, "X-Meta-Color": {"red"}}, Body: raw,
	}, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := places{
		Label: new("a/b"), Since: new(time.Unix(1700000000, 0).UTC()), Names: []string{"x", "y"}, Size: new(int64(7)),
		Meta: map[string]string{"color": "red"}, Content: []byte{0, 1, 2},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if raw[0] = 9; got.Content[0] != 0 {
		t.Error("the payload shares the request's buffer")
	}

	h := http.Header{}
	want.Code = new(int32(202))
	body, status := wire.EncodeREST(nil, &types[0], &want, h)
	if string(body) != "\x00\x01\x02" || status != 202 {
		t.Errorf("%d %q", status, body)
	}
	if d := cmp.Diff(http.Header{"X-Size": {"7"}, "X-Meta-Color": {"red"}}, h); d != "" {
		t.Error(d)
	}
}

// flat has what only the query protocol of older services uses.
type flat struct {
	Items []string
	Attrs map[string]string
	Plain map[string]string
}

func TestFlattened(t *testing.T) {
	types, err := schema.Compile([]schema.Shape{
		{Kind: schema.Structure, Members: []schema.Member{
			{Name: "Items", Shape: 2, Wire: "Item"}, {Name: "Attrs", Shape: 3, Wire: "Attr"}, {Name: "Plain", Shape: 4},
		}},
		{Kind: schema.String},
		{Kind: schema.List, Flattened: true, Elem: schema.Member{Shape: 1}},
		{Kind: schema.Map, Flattened: true, Key: schema.Member{Shape: 1, Wire: "Name"}, Elem: schema.Member{Shape: 1, Wire: "Value"}},
		{Kind: schema.Map, Key: schema.Member{Shape: 1}, Elem: schema.Member{Shape: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	form, err := wire.ParseForm("Item.1=a&Item.2=b&Attr.1.Name=k&Attr.1.Value=v&Plain.entry.1.key=p&Plain.entry.1.value=q")
	if err != nil {
		t.Fatal(err)
	}
	var got flat
	if err := wire.DecodeForm(&types[0], form, wire.Query, &got); err != nil {
		t.Fatal(err)
	}
	want := flat{[]string{"a", "b"}, map[string]string{"k": "v"}, map[string]string{"p": "q"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	const xml = "<Item>a</Item><Item>b</Item><Attr><Name>k</Name><Value>v</Value></Attr><Plain><entry><key>p</key><value>q</value></entry></Plain>"
	if s := string(wire.AppendXML(nil, &types[0], &want)); s != xml {
		t.Errorf("%s\nwant %s", s, xml)
	}
}
