package authz

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// maxDepth bounds the nesting of a document. A legal policy has seven levels.
const maxDepth = 12

// A node is a JSON value that keeps the order of members. encoding/json's maps would hide a key that
// appears twice, which IAM refuses: the second would silently replace the first.
type node struct {
	kind    nodeKind
	text    string // of a string, number or boolean
	items   []node
	members []member
}

type nodeKind uint8

const (
	nullNode nodeKind = iota
	stringNode
	scalarNode // a number or a boolean
	listNode
	objectNode
)

type member struct {
	key   string
	value node
}

var errDocument = errors.New("not one JSON value")

func readDocument(document []byte) (node, error) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	n, err := readNode(dec, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return node{}, errDocument
	}
	return n, nil
}

func readNode(dec *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errDocument
	}
	tok, err := dec.Token()
	if err != nil {
		return node{}, err
	}
	switch v := tok.(type) {
	case string:
		return node{kind: stringNode, text: v}, nil
	case json.Number:
		return node{kind: scalarNode, text: v.String()}, nil
	case bool:
		if v {
			return node{kind: scalarNode, text: "true"}, nil
		}
		return node{kind: scalarNode, text: "false"}, nil
	case json.Delim:
		if v == '[' {
			return readList(dec, depth)
		}
		return readObject(dec, depth)
	}
	return node{}, nil // null
}

func readList(dec *json.Decoder, depth int) (node, error) {
	n := node{kind: listNode}
	for dec.More() {
		item, err := readNode(dec, depth+1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := dec.Token()
	return n, err
}

func readObject(dec *json.Decoder, depth int) (node, error) {
	n := node{kind: objectNode}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return node{}, err
		}
		key, ok := tok.(string)
		if !ok || n.get(key) != nil {
			return node{}, errDocument
		}
		value, err := readNode(dec, depth+1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{key, value})
	}
	_, err := dec.Token()
	return n, err
}

// get finds a member of an object by its exact name, nil if there is none.
func (n *node) get(key string) *node {
	for i := range n.members {
		if n.members[i].key == key {
			return &n.members[i].value
		}
	}
	return nil
}

// texts reads a string, or a list of strings. With scalars, numbers and booleans count as strings.
func (n *node) texts(scalars bool) ([]string, bool) {
	one := func(n *node) bool { return n.kind == stringNode || scalars && n.kind == scalarNode }
	if one(n) {
		return []string{n.text}, true
	}
	if n.kind != listNode {
		return nil, false
	}
	out := make([]string, 0, len(n.items))
	for i := range n.items {
		if !one(&n.items[i]) {
			return nil, false
		}
		out = append(out, n.items[i].text)
	}
	return out, true
}
