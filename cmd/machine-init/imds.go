package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

const metadataAddress = "169.254.169.254:80"

// errAbsent is IMDS's 404: there is no such value.
var errAbsent = errors.New("absent")

// metadata asks IMDS (version 2). It speaks the little HTTP it takes itself:
// net/http would double this process, which lives as long as the instance.
type metadata struct {
	address string
	token   string
}

func (m *metadata) get(path string) (string, error) {
	if m.token == "" {
		t, err := m.do("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600")
		if err != nil {
			return "", err
		}
		m.token = t
	}
	return m.do("GET", "/latest/"+path, "X-aws-ec2-metadata-token: "+m.token)
}

func (m *metadata) do(method, path, header string) (string, error) {
	conn, err := net.DialTimeout("tcp", m.address, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	status, body, err := exchange(conn, method+" "+path, "169.254.169.254", header)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch code, _, _ := strings.Cut(status, " "); code {
	case "200":
		return string(body), nil
	case "404":
		return "", fmt.Errorf("%s %s: %w", method, path, errAbsent)
	default:
		return "", fmt.Errorf("%s %s: %s: %s", method, path, status, bytes.TrimSpace(body))
	}
}

// exchange sends a request without a body ("GET /path") and returns the answer's
// status ("200 OK") and body.
func exchange(conn net.Conn, request, host, header string) (status string, body []byte, err error) {
	// HTTP/1.0: the answer is not chunked, and ends with the connection.
	_, err = fmt.Fprintf(conn, "%s HTTP/1.0\r\nHost: %s\r\nContent-Length: 0\r\n%s\r\n\r\n", request, host, header)
	if err != nil {
		return "", nil, err
	}
	r := bufio.NewReader(conn)
	tp := textproto.NewReader(r)
	line, err := tp.ReadLine()
	if err != nil {
		return "", nil, err
	}
	_, status, ok := strings.Cut(line, " ")
	if !ok {
		return "", nil, fmt.Errorf("malformed answer %q", line)
	}
	head, err := tp.ReadMIMEHeader()
	if err != nil {
		return "", nil, err
	}
	if body, err = io.ReadAll(io.LimitReader(r, 1<<20)); err != nil {
		return "", nil, err
	}
	if want, err := strconv.Atoi(head.Get("Content-Length")); err == nil && want != len(body) {
		return "", nil, io.ErrUnexpectedEOF
	}
	return status, body, nil
}

// identity is what the boot needs of the instance identity document.
type identity struct {
	InstanceID       string `json:"instanceId"`
	InstanceType     string `json:"instanceType"`
	AvailabilityZone string `json:"availabilityZone"`
	Region           string `json:"region"`
	PrivateIP        string `json:"privateIp"`
	ImageID          string `json:"imageId"`
}

// facts is all that the boot reads of IMDS.
type facts struct {
	identity
	hostname string // private DNS name
	zoneID   string
	ipv6     string // of the primary interface, "" without
	userData []byte
	keys     []string // public keys that it was launched with, in OpenSSH's form
}

// readFacts asks IMDS until it answers; on EC2, too, the network may come up
// after the instance.
func readFacts(m *metadata) facts {
	wait, said := 5*time.Millisecond, ""
	for {
		f, err := tryFacts(m)
		if err == nil {
			return f
		}
		if err.Error() != said {
			said = err.Error()
			console("waiting for the instance metadata service: %v", err)
		}
		m.token = "" // it may have been another life of the service that gave it
		time.Sleep(wait)
		wait = min(2*wait, time.Second)
	}
}

func tryFacts(m *metadata) (facts, error) {
	var f facts
	doc, err := m.get("dynamic/instance-identity/document")
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal([]byte(doc), &f.identity); err != nil {
		return f, fmt.Errorf("reading the identity document: %w", err)
	}
	if f.hostname, err = m.get("meta-data/local-hostname"); err != nil {
		return f, err
	}
	// One of EC2's may be a list: the names of all DHCP domains.
	f.hostname, _, _ = strings.Cut(f.hostname, " ")
	for path, into := range map[string]*string{
		"meta-data/placement/availability-zone-id": &f.zoneID,
		"meta-data/ipv6": &f.ipv6,
	} {
		if *into, err = m.get(path); err != nil && !errors.Is(err, errAbsent) {
			return f, err
		}
	}
	if f.keys, err = publicKeys(m); err != nil {
		return f, err
	}
	data, err := m.get("user-data")
	if err != nil && !errors.Is(err, errAbsent) {
		return f, err
	}
	f.userData = []byte(data)
	return f, nil
}

// publicKeys are the public halves of the key pairs that the instance was launched with. The
// directory lists them as 0=name.
func publicKeys(m *metadata) ([]string, error) {
	list, err := m.get("meta-data/public-keys/")
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var keys []string
	for line := range strings.Lines(list) {
		n, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		key, err := m.get("meta-data/public-keys/" + n + "/openssh-key")
		if err != nil {
			return nil, err
		}
		keys = append(keys, strings.TrimSpace(key))
	}
	return keys, nil
}
