// Package iampolicy holds the AWS managed policies that are there from the start, and which
// service principals trust policies may name (principals.txt).
//
// Each is one file, named for the policy:
//
//	policies/<Name>.json
//	  path            "/", "/service-role/", "/aws-service-role/"
//	  description
//	  limit           how the document falls short of AWS's, if it does
//	  created         of the policy
//	  updated         of its newest version
//	  defaultVersion  "v10"
//	  versions        [{id, created, document}]; older versions than the default are not kept
//
// What service-linked roles carry is under /aws-service-role/ and cannot be attached by users; whether
// somebody may attach a policy is IAM's matter, not this package's. Descriptions are ours.
package iampolicy

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

//go:embed policies/*.json
var files embed.FS

const arnPrefix = "arn:aws:iam::aws:policy/"

// A Policy is an AWS managed policy.
type Policy struct {
	Name             string
	ARN              string
	ID               string // ANPA…, the same in every account and run
	Path             string
	Description      string
	Limit            string
	Created, Updated time.Time
	DefaultVersion   string
	Versions         []Version
}

// A Version is one version of a policy, with its document as JSON text.
type Version struct {
	ID       string
	Created  time.Time
	Document string
}

// ServiceLinked says that only service-linked roles can have the policy.
func (p Policy) ServiceLinked() bool { return strings.HasPrefix(p.Path, "/aws-service-role/") }

// Document returns the document of the default version.
func (p Policy) Document() string {
	for _, v := range p.Versions {
		if v.ID == p.DefaultVersion {
			return v.Document
		}
	}
	return ""
}

// All reads every policy, ordered by name. It parses the files anew; who asks often keeps the result.
func All() ([]Policy, error) {
	entries, err := files.ReadDir("policies")
	if err != nil {
		return nil, fmt.Errorf("listing the managed policies: %w", err)
	}
	out := make([]Policy, 0, len(entries))
	for _, e := range entries {
		p, err := read(strings.TrimSuffix(e.Name(), ".json"))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Get reads the policy with an ARN. ok is false if there is none.
func Get(arn string) (p Policy, ok bool, err error) {
	rest, found := strings.CutPrefix(arn, arnPrefix)
	if !found {
		return Policy{}, false, nil
	}
	p, err = read(rest[strings.LastIndexByte(rest, '/')+1:])
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return Policy{}, false, nil
	}
	if err != nil || p.ARN != arn {
		return Policy{}, false, err
	}
	return p, true, nil
}

func read(name string) (Policy, error) {
	content, err := files.ReadFile("policies/" + name + ".json")
	if err != nil {
		return Policy{}, fmt.Errorf("reading the managed policy %s: %w", name, err)
	}
	var file struct {
		Path, Description, Limit string
		Created, Updated         time.Time
		DefaultVersion           string
		Versions                 []struct {
			ID       string
			Created  time.Time
			Document json.RawMessage
		}
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return Policy{}, fmt.Errorf("reading the managed policy %s: %w", name, err)
	}
	p := Policy{
		Name: name, ARN: arnPrefix + strings.TrimPrefix(file.Path, "/") + name, ID: policyID(name),
		Path: file.Path, Description: file.Description, Limit: file.Limit,
		Created: file.Created, Updated: file.Updated, DefaultVersion: file.DefaultVersion,
	}
	for _, v := range file.Versions {
		var text bytes.Buffer
		if err := json.Indent(&text, v.Document, "", "    "); err != nil {
			return Policy{}, fmt.Errorf("reading version %s of the managed policy %s: %w", v.ID, name, err)
		}
		p.Versions = append(p.Versions, Version{ID: v.ID, Created: v.Created, Document: text.String()})
	}
	return p, nil
}

// policyID makes up an id of AWS's form that depends on the name only.
func policyID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "ANPA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
