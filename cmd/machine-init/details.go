package main

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"ekster.dev/ekster/internal/nodeconfig"
)

// nameFile is where "machine-init private-dns-name" leaves what it has found.
const nameFile = "/run/nodeadm/private-dns-name"

// How long EC2 is asked, and how often: nodeadm's limit.
const (
	nameTimeout = 3 * time.Minute
	nameWaitMin = 500 * time.Millisecond
	nameWaitMax = 5 * time.Second
)

// nameNode has EC2 say what the node is called. IMDS knows it, too, but nodeadm does not
// take it from there: an instance whose role may not describe instances, or that does not
// reach EC2, never becomes a node, and so it is here.
func nameNode(s *supervisor, f *facts, c nodeconfig.NodeConfig) error {
	if c.InstanceIDNodeName() {
		return nil
	}
	if err := os.RemoveAll(nameFile); err != nil { // of an earlier boot
		return err
	}
	// In a process of its own: pid 1 would keep the memory that TLS takes.
	status := s.runOnce(service{name: "nodeadm", path: binDir + "/machine-init", env: environment(c, "nodeadm"),
		args: []string{"private-dns-name", "--region", f.Region, "--instance", f.InstanceID}})
	name, err := os.ReadFile(nameFile)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s%s", status, lastWords("nodeadm"))
	}
	f.hostname = string(name)
	return err
}

// privateDNSName asks until EC2 answers, or it is too late.
func privateDNSName(args []string) error {
	flags := flag.NewFlagSet("private-dns-name", flag.ContinueOnError)
	region := flags.String("region", "", "region of the instance")
	instance := flags.String("instance", "", "id of the instance")
	if err := flags.Parse(args); err != nil {
		return err
	}
	end := time.Now().Add(nameTimeout)
	for wait := nameWaitMin; ; wait = min(2*wait, nameWaitMax) {
		name, err := askName(*region, *instance)
		if err == nil {
			return writeFiles(map[string]string{nameFile: name})
		}
		if time.Until(end) < wait {
			return fmt.Errorf("asking EC2 for the instance's name, in vain for %s: %w", nameTimeout, err)
		}
		fmt.Fprintf(os.Stderr, "asking EC2 for the instance's name, again in %s: %v\n", wait, err)
		<-time.After(wait) // EC2 can only be asked again
	}
}

func askName(region, instance string) (string, error) {
	c, err := roleCredentials()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(presign(c, "ec2", region, url.Values{
		"Action": {"DescribeInstances"}, "Version": {"2016-11-15"}, "InstanceId.1": {instance},
	}, time.Now().UTC()))
	if err != nil {
		return "", err
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}}
	conn, err := dialer.DialContext(context.Background(), "tcp", u.Host+":443")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	status, body, err := exchange(conn, "GET "+u.RequestURI(), u.Host, "Accept: text/xml")
	if err != nil {
		return "", err
	}
	return parseName(status, body)
}

// parseName reads the answer to DescribeInstances of one instance.
func parseName(status string, body []byte) (string, error) {
	var answer struct {
		Names   []string `xml:"reservationSet>item>instancesSet>item>privateDnsName"`
		Code    string   `xml:"Errors>Error>Code"`
		Message string   `xml:"Errors>Error>Message"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("DescribeInstances: %s: %w", status, err)
	}
	switch {
	case answer.Code != "":
		return "", fmt.Errorf("DescribeInstances: %s: %s", answer.Code, answer.Message)
	case !strings.HasPrefix(status, "200") || len(answer.Names) != 1 || answer.Names[0] == "":
		return "", fmt.Errorf("DescribeInstances: %s, and no name of the instance", status)
	}
	return answer.Names[0], nil
}
