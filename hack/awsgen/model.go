package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The model as botocore keeps it. Unknown fields are refused.
type (
	model struct {
		Version  string `json:"version"`
		Metadata struct {
			APIVersion          string    `json:"apiVersion"`
			AWSQueryCompatible  *struct{} `json:"awsQueryCompatible"` // spoke query before; its errors still have those codes, in a header
			Auth                []string  `json:"auth"`
			EndpointPrefix      string    `json:"endpointPrefix"`
			GlobalEndpoint      string    `json:"globalEndpoint"`
			JSONVersion         string    `json:"jsonVersion"`
			Protocol            string    `json:"protocol"`
			Protocols           []string  `json:"protocols"`
			ServiceAbbreviation string    `json:"serviceAbbreviation"`
			ServiceFullName     string    `json:"serviceFullName"`
			ServiceID           string    `json:"serviceId"`
			SignatureVersion    string    `json:"signatureVersion"`
			SigningName         string    `json:"signingName"`
			TargetPrefix        string    `json:"targetPrefix"`
			UID                 string    `json:"uid"`
			XMLNamespace        string    `json:"xmlNamespace"`
		} `json:"metadata"`
		Operations map[string]operation `json:"operations"`
		Shapes     map[string]*shape    `json:"shapes"`
		Pagination json.RawMessage      `json:"pagination"`
		Waiters    json.RawMessage      `json:"waiters"`
	}
	operation struct {
		Name string `json:"name"`
		HTTP struct {
			Method     string `json:"method"`
			RequestURI string `json:"requestUri"`
			// 200 wherever a model gives it, which is what our answers have anyway.
			ResponseCode int `json:"responseCode"`
		} `json:"http"`
		Input    *ref     `json:"input"`
		Output   *ref     `json:"output"`
		Errors   []ref    `json:"errors"`
		Auth     []string `json:"auth"`
		AuthType string   `json:"authtype"`
		ReadOnly bool     `json:"readonly"`
	}
	ref struct {
		Shape            string `json:"shape"`
		ResultWrapper    string `json:"resultWrapper"`
		Location         string `json:"location"`
		LocationName     string `json:"locationName"`
		QueryName        string `json:"queryName"`
		IdempotencyToken bool   `json:"idempotencyToken"`
		Flattened        bool   `json:"flattened"` // in query documents, which a json service no longer speaks
		Box              bool   `json:"box"`
		Deprecated       bool   `json:"deprecated"`
		DeprecatedMsg    string `json:"deprecatedMessage"`
		DeprecatedSince  string `json:"deprecatedSince"`
		// Which parameter of its endpoint rules a client takes from here.
		ContextParam json.RawMessage `json:"contextParam"`
	}
	shape struct {
		Type         string   `json:"type"`
		Enum         []string `json:"enum"`
		Members      members  `json:"members"`
		Required     []string `json:"required"`
		Member       *ref     `json:"member"`
		Key          *ref     `json:"key"`
		Value        *ref     `json:"value"`
		Min          *float64 `json:"min"`
		Max          *float64 `json:"max"`
		Pattern      string   `json:"pattern"`
		Payload      string   `json:"payload"`
		Flattened    bool     `json:"flattened"`
		LocationName string   `json:"locationName"` // of a structure as a list's element; EC2 has two, and they agree with the list's own
		Exception    bool     `json:"exception"`
		Fault        bool     `json:"fault"`
		Error        *struct {
			Code        string `json:"code"`
			Status      int    `json:"httpStatusCode"`
			SenderFault bool   `json:"senderFault"`
		} `json:"error"`
		Box               bool   `json:"box"`
		Sensitive         bool   `json:"sensitive"`
		Union             bool   `json:"union"`
		Deprecated        bool   `json:"deprecated"`
		DeprecatedMessage string `json:"deprecatedMessage"`
	}
	member struct {
		name string
		ref
	}
	// members keeps the model's order: it is the order of fields and of
	// elements on the wire.
	members []member
)

func (ms *members) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		m := member{name: key.(string)}
		if err := strict(raw, &m.ref); err != nil {
			return fmt.Errorf("member %s: %w", m.name, err)
		}
		*ms = append(*ms, m)
	}
	return nil
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func parseModel(b []byte) (*model, error) {
	m := new(model)
	if err := strict(b, m); err != nil {
		return nil, fmt.Errorf("parsing the model: %w", err)
	}
	return m, nil
}

// mergePatch applies an RFC 7386 merge patch and keeps the order of keys.
func mergePatch(doc, patch []byte) ([]byte, error) {
	var p map[string]json.RawMessage
	if err := json.Unmarshal(patch, &p); err != nil {
		return patch, nil //nolint:nilerr // not an object: replaces what was there
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	open, err := d.Token()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteByte('{')
	put := func(key string, val []byte) {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, _ := json.Marshal(key) // a string always marshals
		out.Write(name)
		out.WriteByte(':')
		out.Write(val)
	}
	for open == json.Delim('{') && d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var val json.RawMessage
		if err := d.Decode(&val); err != nil {
			return nil, err
		}
		k := key.(string)
		change, ok := p[k]
		delete(p, k)
		switch {
		case !ok:
			put(k, val)
		case string(change) == "null":
		default:
			merged, err := mergePatch(val, change)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			put(k, merged)
		}
	}
	for _, k := range sortedKeys(p) {
		if string(p[k]) != "null" {
			put(k, p[k])
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
